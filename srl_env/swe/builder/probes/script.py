"""Runs a short script in the workspace and tells what it printed, raised, and went through.

The request comes as JSON on standard input, the answer goes to descriptor 3 as one JSON object.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srl_env.grading.judges.entry import enter
else:
    from judges.entry import enter


def main() -> None:
    """Reads the request, runs the script, answers."""
    request = json.load(sys.stdin.buffer)
    sys.dont_write_bytecode = True
    enter(request)
    way = Way(request["workspace"] + "/", request["functions"])
    printed, error = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        try:
            code = compile(request["script"], "<script>", "exec")
            sys.setprofile(way.event)
            exec(code, {"__name__": "__main__"})
        except BaseException as raised:  # noqa: BLE001  the boundary: it is part of the answer
            sys.setprofile(None)
            error = "".join(traceback.format_exception_only(type(raised), raised)).strip()
        finally:
            sys.setprofile(None)
    answer = {"printed": printed.getvalue()[:20_000], "error": error[:5_000], "ways": way.found}
    with os.fdopen(os.dup(3), "wb") as report:
        report.write(json.dumps(answer).encode())


class Way:
    """A profile function: the calls that lead to each of some functions, when it is first run.

    functions: as [path, first line, last line]. found: one list for each, "path:line" from the
    script's own call inwards; empty where the function was not run.
    """

    def __init__(self, root: str, functions: list[Any]) -> None:
        self._root, self._functions = root, functions
        self.found: list[list[str]] = [[] for _ in functions]

    def event(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(self._root):
            return
        path = frame.f_code.co_filename[len(self._root) :]
        for number, (wanted, first, last) in enumerate(self._functions):
            reached = path == wanted and first <= frame.f_code.co_firstlineno <= last
            if reached and not self.found[number]:
                self.found[number] = self._way_to(frame)

    def _way_to(self, frame: FrameType | None) -> list[str]:
        way = []
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(self._root) and code.co_name != "<module>":
                way.append(f"{code.co_filename[len(self._root) :]}:{code.co_firstlineno}")
            frame = frame.f_back
        return way[::-1]

"""Runs a short script in the workspace; reports its output, exception and calls.

The request is JSON on standard input. The answer goes to descriptor 3 as one JSON object.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srl_env.grading.judges.entry import enter
else:
    from judges.entry import enter

_SCRIPT = "<script>"
_ENTERED = 9


def main() -> None:
    """Reads the request, runs the script, answers."""
    request = json.load(sys.stdin.buffer)
    sys.dont_write_bytecode = True
    enter(request)
    watcher = Watcher(request["workspace"] + "/", request["function"])
    printed, error = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        try:
            code = compile(request["script"], _SCRIPT, "exec")
            sys.setprofile(watcher.event)
            exec(code, _main_module())
        except BaseException as raised:  # noqa: BLE001  it is part of the answer
            sys.setprofile(None)
            watcher.note_failure(raised)
            error = "".join(traceback.format_exception_only(type(raised), raised)).strip()
        finally:
            sys.setprofile(None)
    answer = {
        "printed": printed.getvalue()[:20_000],
        "error": error[:5_000],
        "calls": watcher.calls,
        "entered": watcher.entered,
    }
    with os.fdopen(os.dup(3), "wb") as report:
        report.write(json.dumps(answer).encode())


def _main_module() -> dict[str, Any]:
    """The names of a new main module, where classes of the script look for their annotations."""
    sys.modules["__main__"] = module = ModuleType("__main__")
    return module.__dict__


class Watcher:
    """A profile function that finds the calls that first led to a function.

    function: [path, first line, last line], or empty. calls: [path, line] from the script's own
    call inwards; empty where the function was not run. entered: what the script itself called of
    the workspace, in order; after a failure what it failed in, the script's own call last.
    """

    def __init__(self, root: str, function: list[Any]) -> None:
        self._root, self._function = root, function
        self.calls: list[tuple[str, int]] = []
        self.entered: list[tuple[str, int]] = []

    def event(self, frame: FrameType, event: str, _: Any) -> None:
        """Notes what the script calls, and the calls when the function is entered."""
        if event != "call" or (place := self._place(frame)) is None:
            return
        caller = frame.f_back
        if caller is not None and caller.f_code.co_filename == _SCRIPT:
            self.entered = [*self.entered[-_ENTERED:], place]
        if self._function and not self.calls:
            path, first, last = self._function
            if place[0] == path and first <= place[1] <= last:
                self._note(frame)

    def note_failure(self, raised: BaseException) -> None:
        """Notes what an exception came through."""
        frames = (frame for frame, _ in traceback.walk_tb(raised.__traceback__))
        self.entered = [place for frame in frames if (place := self._place(frame))][::-1]

    def _note(self, innermost: FrameType) -> None:
        frame: FrameType | None = innermost
        while frame is not None:
            place = self._place(frame)
            if place is not None and frame.f_code.co_name != "<module>":
                self.calls.insert(0, place)
            frame = frame.f_back

    def _place(self, frame: FrameType) -> tuple[str, int] | None:
        """The file of the workspace and the first line of a frame's function."""
        path = frame.f_code.co_filename
        if not path.startswith(self._root):
            return None
        return path[len(self._root) :], frame.f_code.co_firstlineno

"""Makes calls and reports their results; the expected results are not known here.

Started with ``python -P -s -S -B``; the calls come as JSON on standard input. Answers go to
descriptor 3, one JSON line for each call. Code under test can change the answers, but does not
know the correct ones.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

from .encoding import to_json
from .entry import enter


def main() -> None:
    """Reads the request, makes the calls in order, writes the answers."""
    request = json.load(sys.stdin.buffer)
    _report({"ready": True})  # nothing of the workspace has run yet
    enter(request)
    for case in request["cases"]:
        _report({"name": case["name"], **_answer(case)})


def _report(answer: dict[str, Any]) -> None:
    with os.fdopen(os.dup(3), "wb") as report:
        report.write(json.dumps(answer).encode() + b"\n")


def _answer(case: dict[str, Any]) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "case"}
    try:
        exec(case["setup"], space)
        return {"value": to_json(eval(case["expression"], space))}
    except BaseException as error:  # noqa: BLE001  an exception is an answer, too
        traceback.print_exc()
        return {"raised": type(error).__name__}

"""Runs a repository's tests with pytest and reports each, with what it ran and what it called.

The request is JSON on standard input. The report goes to descriptor 3, one JSON record a line.
Tests run as in the judges of ``srl_env.grading``, so that outcomes are the same.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .calls import Recorder
from .literals import NotLiteral, Writer

if TYPE_CHECKING:
    from srl_env.grading.judges.plugin import Outcomes, read_request, run_pytest
else:
    from judges.plugin import Outcomes, read_request, run_pytest

_TEXT = 4_000


def main() -> None:
    """Reads the request, runs the tests, reports, and exits with pytest's status."""
    request = read_request()
    watcher = Watcher(request)
    watcher.send({"ready": True})
    status = run_pytest(request, ["--continue-on-collection-errors"], watcher)
    watcher.send({"functions": watcher.recorder.functions, "calls": watcher.recorder.calls})
    watcher.send({"end": status})
    sys.stdout.flush()
    os._exit(status)


class Watcher(Outcomes):
    """A pytest plug-in that selects and orders tests, and reports each outcome."""

    def __init__(self, request: dict[str, Any]) -> None:
        super().__init__()
        self.recorder = Recorder(request["workspace"])
        self._request = request
        self._channel = os.dup(3)
        os.close(3)

    def send(self, record: dict[str, Any]) -> None:
        """Reports a record."""
        data = json.dumps(record).encode() + b"\n"
        while data:
            data = data[os.write(self._channel, data) :]

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.send({"broken": report.nodeid, "text": str(report.longrepr)[-_TEXT:]})

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self._request["tests"] is not None:
            wanted = set(self._request["tests"])
            items[:] = [item for item in items if not wanted.isdisjoint(_names(item.nodeid))]
        if self._request["order"] is not None:
            random.Random(self._request["order"]).shuffle(items)
        self.send({"parameters": {item.nodeid: _parameters(item) for item in items}})

    def pytest_runtest_protocol(self, item: Any) -> Any:
        if self._request["trace"]:
            self.recorder.begin(item.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        if self._request["trace"]:
            self.recorder.end()

    def pytest_runtest_logreport(self, report: Any) -> None:
        record = {"test": report.nodeid, "outcome": self.outcome(report)}
        record["seconds"] = round(report.duration, 4)
        if report.failed:
            record |= {"text": str(report.longrepr)[-_TEXT:], "line": _test_line(report)}
        self.send(record)


def _names(test: str) -> Iterator[str]:
    """A test's id, that of its function without parameters, and of its classes and its file."""
    yield test
    name = test.partition("[")[0]
    while name:
        yield name
        name = name.rpartition("::")[0]


def _parameters(item: Any) -> dict[str, str]:
    """The parameters of a test as source text; "<n>" for the n-th of a mark, which has none."""
    found, spec = {}, getattr(item, "callspec", None)
    for name, value in getattr(spec, "params", {}).items():
        try:
            found[name] = Writer().write(value)
        except NotLiteral:
            number = getattr(spec, "indices", {}).get(name)
            found[name] = "" if number is None else f"<{number}>"
    return found


def _test_line(report: Any) -> int:
    """The last line in the file of the test's function that a failure went through; else 0."""
    entries = list(_entries(report.longrepr))
    lines = [line for path, line in entries if path == entries[0][0]]
    return lines[-1] if lines else 0


def _entries(failure: Any) -> Iterator[tuple[str, int]]:
    for entry in getattr(getattr(failure, "reprtraceback", None), "reprentries", ()):
        place = getattr(entry, "reprfileloc", None)
        if place is not None:
            yield str(place.path), int(place.lineno)

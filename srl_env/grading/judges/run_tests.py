"""Runs chosen tests with pytest and reports each over descriptor 3, signed.

Started with ``python -P -s -S -B``; the request comes as JSON on standard input. pytest is imported
before the workspace is on the path, and the workspace comes last on it. No settings, plug-ins or
conftest files of a change are read.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
from typing import Any

from .plugin import Outcomes, read_request, run_pytest

_PLAIN = "--assert=plain"  # rewriting would only make failed asserts print more


def main() -> None:
    """Reads the request, runs the tests, reports, and exits with pytest's status."""
    request = read_request()
    _skip_diagnostics()
    reporter = Reporter(bytes.fromhex(request.pop("key")), request["tests"])
    reporter.send({"ready": True})  # nothing of the workspace has run yet
    status = run_pytest(request, [_PLAIN], reporter)
    reporter.send({"end": status})
    sys.stdout.flush()
    os._exit(status)


def _skip_diagnostics() -> None:
    """Skips a check of every name in pytest's plug-ins (pytest 9.2), which only warns."""
    from _pytest.fixtures import FixtureManager

    if hasattr(FixtureManager, "_check_for_wrapped_fixture"):
        FixtureManager._check_for_wrapped_fixture = lambda *_: None  # type: ignore[method-assign]


class Reporter(Outcomes):
    """A pytest plug-in: keeps the tests asked for, and reports every phase of each."""

    def __init__(self, key: bytes, tests: list[str]) -> None:
        super().__init__()
        self._key, self._wanted = key, frozenset(tests)
        self._sent = 0
        self._channel = os.dup(3)
        os.close(3)

    def send(self, record: dict[str, Any]) -> None:
        """Writes one signed record, numbered from 0."""
        text = json.dumps({"number": self._sent, **record})
        self._sent += 1
        sign = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        os.write(self._channel, f"{sign} {text}\n".encode())

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if item.nodeid in self._wanted]

    def pytest_runtest_logreport(self, report: Any) -> None:
        outcome = self.outcome(report)
        if outcome is not None:
            self.send({"test": report.nodeid, "phase": report.when, "outcome": outcome})

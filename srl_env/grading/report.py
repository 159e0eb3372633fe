"""Reports of the judges, read as hostile: code under test may have written any of it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from srl_env.errors import SandboxDied
from srl_env.sandbox import CommandResult

_READY: Final = {"ready": True}
_PHASES: Final = ("setup", "call", "teardown")


class _Unclean(Exception):
    """A report that cannot be trusted; the message says why."""


def read_outcomes(
    done: CommandResult, key: bytes, tests: Sequence[str]
) -> tuple[dict[str, str], str]:
    """ "passed", "xfailed" or "failed" for each test; and why the report cannot be trusted, or "".

    In a report that cannot be trusted every test failed. Raises SandboxDied where pytest did not
    even begin.
    """
    if not done.report:
        raise SandboxDied(f"pytest could not be started ({done.ended}): {done.text()[-2000:]}")
    try:
        return _outcomes(_records(done, key), tests), ""
    except _Unclean as reason:
        return dict.fromkeys(tests, "failed"), str(reason)


def read_answers(done: CommandResult) -> dict[str, dict[str, Any]]:
    """The first answer to each oracle case, by its name; lines that are no answer are ignored.

    Raises SandboxDied where Python did not even begin.
    """
    if not done.report.startswith(json.dumps(_READY).encode()):
        raise SandboxDied(f"Python could not be started ({done.ended}): {done.text()[-2000:]}")
    answers: dict[str, dict[str, Any]] = {}
    for line in done.report.splitlines():
        answer = _object(line)
        if isinstance(answer.get("name"), str):
            answers.setdefault(answer["name"], answer)
    return answers


def _records(done: CommandResult, key: bytes) -> list[dict[str, Any]]:
    """The records between beginning and end, each signed and in order."""
    records: list[dict[str, Any]] = []
    for number, line in enumerate(done.report.splitlines()):
        sign, _, text = line.partition(b" ")
        due = hmac.new(key, text, hashlib.sha256).hexdigest().encode()
        if not hmac.compare_digest(sign, due):
            raise _Unclean("a record that is not signed")
        record = _object(text)
        if not _well_formed(record):
            raise _Unclean("a record that no reporter writes")
        if record.pop("number") != number:
            raise _Unclean("a record out of order")
        records.append(record)
    if done.ended != "exited":
        raise _Unclean(f"ended by {done.ended}")
    if records[0] != _READY or records[-1] != {"end": done.status}:
        raise _Unclean(f"exit status {done.status} without the record of an end")
    if any("test" not in record for record in records[1:-1]):
        raise _Unclean("more than one beginning or end")
    return records[1:-1]


def _object(text: bytes) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _well_formed(record: Mapping[str, Any]) -> bool:
    """Whether the reporter writes such records.

    The key lies in the interpreter of the code under test, which can therefore sign anything.
    """
    parts = [record.get(name) for name in ("test", "phase", "outcome")]
    strings = all(isinstance(part, str) for part in parts)
    return isinstance(record.get("number"), int) and ("test" not in record or strings)


def _outcomes(records: Sequence[Mapping[str, Any]], tests: Sequence[str]) -> dict[str, str]:
    """The outcome of each test.

    Setup, call and teardown are due once each, of which an expected failure may have no call.
    """
    phases: dict[str, list[tuple[str, str]]] = {test: [] for test in tests}
    for record in records:
        if record["test"] not in phases:
            raise _Unclean(f"a record of {record['test']!r}, which was not asked for")
        phases[record["test"]].append((record["phase"], record["outcome"]))
    for test, found in phases.items():
        names = tuple(phase for phase, _ in found)
        if names not in ((), _PHASES, ("setup", "teardown")):
            raise _Unclean(f"{test}: phases {names}")
    return {test: _outcome(found) for test, found in phases.items()}


def _outcome(phases: Sequence[tuple[str, str]]) -> str:
    outcomes = {outcome for _, outcome in phases}
    if outcomes == {"passed"} and len(phases) == len(_PHASES):
        return "passed"
    return "xfailed" if "xfailed" in outcomes <= {"passed", "xfailed"} else "failed"

"""Judging runs, each in a fresh session on a fresh tree: hidden tests, and oracle cases."""

from __future__ import annotations

import errno
import hashlib
import hmac
import importlib.util
import json
import os
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from srl_env.errors import MissingExtra, SandboxDied
from srl_env.grading.task import GradingTask, OracleCase
from srl_env.grading.values import NotExactError, encode_value, from_json, same_value
from srl_env.grading.xfail import expects_failure
from srl_env.sandbox import CommandResult, Mount, Preload, Sandbox, Session, Snapshot

_JUDGES: Final = Path(__file__).resolve().parent / "judges"
_PYTEST_NEEDS: Final = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")
_READY: Final = {"ready": True}
# Found by its files, not by a folder on the path: Landlock shows no folder above the judges'.
_MAIN: Final = f"""\
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("judges", {str(_JUDGES / "__init__.py")!r})
sys.modules["judges"] = module_from_spec(spec)
from judges import NAME
NAME.main()
"""
_PHASES: Final = ("setup", "call", "teardown")
# What a change brings about that does not fit the tree; whose doing all else is, `grade` finds out.
_UNFIT: Final = {
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY),
    *(errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP),
}


class CannotApplyError(Exception):
    """A change that cannot be put on the tree, or leaves no place for the hidden files."""


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a run of tests came to.

    passed: per test id. unclean: why the report cannot be believed, "" where it can; an unclean
    run counts as no test passed. output: what pytest printed, for people.
    """

    passed: Mapping[str, bool]
    unclean: str
    output: str


def warm_judges() -> Preload:
    """What a sandbox used for grading may preload: pytest and the judges; grading is faster then.

    ``open_sandbox(preload=warm_judges())``; a sandbox without works as well.
    """
    modules = ("judges.preload", "judges.run_tests", "judges.run_oracle")
    return Preload((_JUDGES.parent, *_package_folders()), modules)


def run_tests(
    sandbox: Sandbox, task: GradingTask, patch: Snapshot, hidden: Mapping[str, bytes]
) -> TestRun:
    """Runs the task's tests on tree + patch + hidden files.

    A test passed if all its phases and subtests did, or if it fails as its own mark expects.
    Raises SandboxFailure, and CannotApplyError where the patch does not fit.
    """
    key = secrets.token_bytes(32)
    request = {
        "workspace": "",
        "key": key.hex(),
        "tests": list(task.tests),
        "files": list(task.test_files),
        "conftest": task.conftest,
        "changed": [change.path for change in patch.changes],
        "packages": [str(folder) for folder in _package_folders()],
    }
    mounts = [*importable(pytest_mounts(), sandbox), *task.mounts]
    with _fresh(sandbox, task, patch, mounts, hidden) as session:
        done = _run_tool(session, task, "run_tests", request)
    records, unclean = _read_report(done, key)
    outcomes, missing = _outcomes(records, task.tests)
    if unclean or missing:
        return TestRun(dict.fromkeys(task.tests, False), unclean or missing, done.text())
    passed = {
        test: outcome == "passed" or (outcome == "xfailed" and _is_expected(task, hidden, test))
        for test, outcome in outcomes.items()
    }
    return TestRun(passed, "", done.text())


def _is_expected(task: GradingTask, hidden: Mapping[str, bytes], test: str) -> bool:
    path = test.partition("::")[0]
    source = hidden[path] if path in hidden else (task.tree / path).read_bytes()
    return expects_failure(test, source)


def run_cases(sandbox: Sandbox, task: GradingTask, patch: Snapshot) -> dict[str, bool]:
    """Whether each oracle case came out exactly as expected, by name. Raises as `run_tests`."""
    answers = answer_cases(sandbox, task, patch)
    return {case.name: _holds(case, answers.get(case.name, {})) for case in task.cases}


def answer_cases(
    sandbox: Sandbox, task: GradingTask, patch: Snapshot, env: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """What the calls of the oracle cases come to: ``{"value": encoded}`` or ``{"raised": name}``.

    Those that gave no answer are left out. The cases are made in an order of the controller's
    choosing, on tree + patch alone: neither hidden tests nor expected values are there.
    env: has the interpreter started anew with these variables. Raises as `run_tests`.
    """
    cases = random.SystemRandom().sample(task.cases, len(task.cases))
    request = {
        "workspace": "",
        "cases": [
            {"name": case.name, "setup": case.setup, "expression": case.expression}
            for case in cases
        ],
    }
    with _fresh(sandbox, task, patch, task.mounts) as session:
        done = _run_tool(session, task, "run_oracle", request, env)
    if not done.report.startswith(json.dumps(_READY).encode()):
        raise SandboxDied(f"Python could not be started ({done.ended}): {done.text()[-2000:]}")
    return _read_answers(done.report)


@contextmanager
def _fresh(
    sandbox: Sandbox,
    task: GradingTask,
    patch: Snapshot,
    mounts: Sequence[Mount],
    hidden: Mapping[str, bytes] = MappingProxyType({}),
) -> Iterator[Session]:
    shown = [Mount(_JUDGES), *mounts]
    with sandbox.start(task.tree, limits=task.limits, mounts=shown) as session:
        try:
            session.apply(patch)
            for path, content in hidden.items():
                session.write(path, content)
        except OSError as error:
            if error.errno not in _UNFIT:
                raise SandboxDied(f"the tree to judge could not be made: {error}") from error
            raise CannotApplyError(str(error)) from error
        yield session


def _run_tool(
    session: Session,
    task: GradingTask,
    name: str,
    request: dict[str, Any],
    fresh_env: Mapping[str, str] | None = None,
) -> CommandResult:
    folder = session.workspace
    roots = [folder if path == "." else f"{folder}/{path}" for path in task.python_path]
    shown = [mount.target or str(mount.source.absolute()) for mount in task.mounts]
    roots += sorted({os.path.dirname(path) for path in shown})
    changed = [f"{folder}/{path}" for path in request.get("changed", ())]
    request |= {"workspace": folder, "python_path": roots, "changed": changed}
    request["own"] = sorted(task.own_modules)
    stdin, module = json.dumps(request).encode(), f"judges.{name}"
    env = {"PYTHONHASHSEED": "0", **(fresh_env or {})}
    if fresh_env is None and module in session.preloaded:
        return session.call(module, stdin=stdin, timeout_s=task.timeout_s, env=env, report=True)
    code = _MAIN.replace("NAME", name)
    return session.run(
        ["python3", "-P", "-s", "-S", "-B", "-c", code],
        stdin=stdin,
        timeout_s=task.timeout_s,
        env=env,
        report=True,
    )


def _read_report(done: CommandResult, key: bytes) -> tuple[list[dict[str, Any]], str]:
    """The records of a report, and what is wrong with it: anything that is not exactly as due.

    Raises SandboxDied where pytest did not even begin.
    """
    records: list[dict[str, Any]] = []
    if not done.report:
        raise SandboxDied(f"pytest could not be started ({done.ended}): {done.text()[-2000:]}")
    for number, line in enumerate(done.report.splitlines()):
        sign, _, text = line.partition(b" ")
        due = hmac.new(key, text, hashlib.sha256).hexdigest().encode()
        if not hmac.compare_digest(sign, due):
            return records, "a record that is not signed"
        record = _record(text)
        if record is None:
            return records, "a record that no reporter writes"
        records.append(record)
        if record.pop("number") != number:
            return records, "a record out of order"
    if done.ended != "exited":
        return records, f"ended by {done.ended}"
    if records[0] != _READY or records[-1] != {"end": done.status}:
        return records, f"exit status {done.status} without the record of an end"
    if any("test" not in record for record in records[1:-1]):
        return records, "more than one beginning or end"
    return records[1:-1], ""


def _record(text: bytes) -> dict[str, Any] | None:
    """A signed record; None for what the reporter writes under no circumstances.

    The key lies in the interpreter of the code under test, so that it can sign what it likes.
    """
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("number"), int):
        return None
    parts = [record.get(name) for name in ("test", "phase", "outcome")]
    if "test" in record and not all(isinstance(part, str) for part in parts):
        return None
    return record


def _outcomes(
    records: Sequence[Mapping[str, Any]], tests: Sequence[str]
) -> tuple[dict[str, str], str]:
    """What each test came to, "passed", "xfailed" or "failed"; and what is wrong with the records.

    Setup, call and teardown are due once each, of which an expected failure may have no call.
    """
    seen: dict[str, list[tuple[str, str]]] = {test: [] for test in tests}
    for record in records:
        if record.get("test") not in seen:
            return {}, f"a record of {record.get('test')!r}, which was not asked for"
        seen[record["test"]].append((record["phase"], record["outcome"]))
    for test, phases in seen.items():
        names = tuple(phase for phase, _ in phases)
        if phases and names not in (_PHASES, ("setup", "teardown")):
            return {}, f"{test}: phases {names}"
    return {test: _outcome(phases) for test, phases in seen.items()}, ""


def _outcome(phases: Sequence[tuple[str, str]]) -> str:
    outcomes = {outcome for _, outcome in phases}
    if outcomes == {"passed"} and len(phases) == len(_PHASES):
        return "passed"
    return "xfailed" if "xfailed" in outcomes <= {"passed", "xfailed"} else "failed"


def _read_answers(report: bytes) -> dict[str, dict[str, Any]]:
    """The first answer to each case; what is no answer is left out."""
    answers: dict[str, dict[str, Any]] = {}
    for line in report.splitlines():
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(answer, dict) and isinstance(answer.get("name"), str):
            answers.setdefault(answer["name"], answer)
    return answers


def _holds(case: OracleCase, answer: Mapping[str, Any]) -> bool:
    if case.raises is not None:
        return answer.get("raised") == case.raises
    if "value" not in answer:
        return False
    try:
        if not _as_long(answer["value"], encode_value(case.expected)):
            return False
        return same_value(from_json(answer["value"]), case.expected)
    except (NotExactError, RecursionError):
        return False


def wrong_results(case: OracleCase, answer: Mapping[str, Any]) -> int:
    """How many results of a case an answer of `answer_cases` has wrong; 0 where the case holds.

    Of a list, tuple or dictionary with as many items as expected each item that differs is one.
    """
    if _holds(case, answer):
        return 0
    try:
        found = from_json(answer["value"])
    except (KeyError, NotExactError, RecursionError):
        return 1
    expected = case.expected
    if type(found) is not type(expected) or not isinstance(expected, list | tuple | dict):
        return 1
    if isinstance(expected, dict):
        keys = list(expected) if found.keys() == expected.keys() else []
    else:
        keys = list(range(len(expected))) if len(found) == len(expected) else []
    return max(1, sum(not same_value(found[key], expected[key]) for key in keys))


def _as_long(answer: Any, expected: Any) -> bool:
    """Whether two encodings have the same length, as those of equal values have.

    Found out before an answer becomes a value: a set of numbers with one hash takes its size
    squared to make.
    """
    return len(json.dumps(answer)) == len(json.dumps(expected))


def pytest_mounts() -> list[Mount]:
    """pytest and what it needs, from the controller's own installation, where they lie."""
    return [Mount(_installed(name)) for name in _PYTEST_NEEDS]


def importable(mounts: Sequence[Mount], sandbox: Sandbox) -> list[Mount]:
    """The mounts of packages, with the folders they lie in where the sandbox makes no tree of them.

    Python imports from folders that it can list.
    """
    if sandbox.isolation == "full":
        return list(mounts)
    return [
        *mounts,
        *(Mount(folder) for folder in sorted({mount.source.parent for mount in mounts})),
    ]


def _package_folders() -> list[Path]:
    return sorted({_installed(name).parent for name in _PYTEST_NEEDS})


@cache
def _installed(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise MissingExtra(name, "swe")
    path = Path(spec.origin)
    return path.parent if path.name == "__init__.py" else path

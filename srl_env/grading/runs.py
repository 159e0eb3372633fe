"""Judging runs, each in a fresh session on a fresh tree: hidden tests, and oracle cases."""

from __future__ import annotations

import errno
import importlib.util
import json
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
from srl_env.grading.report import read_answers, read_outcomes
from srl_env.grading.task import GradingTask, OracleCase
from srl_env.grading.values import canonical, encode_value
from srl_env.grading.xfail import expects_failure
from srl_env.sandbox import CommandResult, Mount, Preload, Sandbox, Session, Snapshot

_JUDGES: Final = Path(__file__).resolve().parent / "judges"
_PYTEST_NEEDS: Final = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")
# Found by its files, not by a folder on the path: Landlock shows no folder above the judges'.
_MAIN: Final = f"""\
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("judges", {str(_JUDGES / "__init__.py")!r})
sys.modules["judges"] = module_from_spec(spec)
from judges import NAME
NAME.main()
"""
# Errors of a change that does not fit the tree; `grade` decides who is responsible for others.
_UNFIT: Final = {
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY),
    *(errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP),
}


class CannotApplyError(Exception):
    """A change that cannot be put on the tree, or leaves no place for the hidden files."""


@dataclass(frozen=True, slots=True)
class TestRun:
    """The result of a run of tests.

    passed: per test id. unclean: why the report cannot be trusted, "" where it can; in an unclean
    run no test counts as passed. output: what pytest printed, for people.
    """

    passed: Mapping[str, bool]
    unclean: str
    output: str


def warm_judges() -> Preload:
    """What a sandbox used for grading may preload, to grade faster: pytest and the judges.

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
        "key": key.hex(),
        "tests": list(task.tests),
        "files": list(task.test_files),
        "conftest": task.conftest,
        "changed": [change.path for change in patch.changes],
        "packages": [str(folder) for folder in _package_folders()],
    }
    mounts = [*importable(pytest_mounts(), sandbox), *task.mounts]
    with _fresh(sandbox, task, patch, mounts, hidden) as session:
        done = _run_judge(session, task, "run_tests", request)
    outcomes, unclean = read_outcomes(done, key, task.tests)
    passed = {
        test: outcome == "passed" or (outcome == "xfailed" and _is_expected(task, hidden, test))
        for test, outcome in outcomes.items()
    }
    return TestRun(passed, unclean, done.text())


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
    """The results of the oracle cases' calls: ``{"value": encoded}`` or ``{"raised": name}``.

    Cases without an answer are missing. The controller chooses their order. They run on tree +
    patch alone: neither hidden tests nor expected values are there.
    env: starts a new interpreter with these variables. Raises as `run_tests`.
    """
    cases = [
        {"name": case.name, "setup": case.setup, "expression": case.expression}
        for case in random.SystemRandom().sample(task.cases, len(task.cases))
    ]
    with _fresh(sandbox, task, patch, task.mounts) as session:
        done = _run_judge(session, task, "run_oracle", {"cases": cases}, env)
    return read_answers(done)


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


def _run_judge(
    session: Session,
    task: GradingTask,
    name: str,
    request: dict[str, Any],
    fresh_env: Mapping[str, str] | None = None,
) -> CommandResult:
    folder = session.workspace
    roots = [folder if path == "." else f"{folder}/{path}" for path in task.python_path]
    request |= {
        "workspace": folder,
        "python_path": [*roots, *sorted({mount.import_folder for mount in task.mounts})],
        "changed": [f"{folder}/{path}" for path in request.get("changed", ())],
        "own": sorted(task.own_modules),
    }
    stdin, module = json.dumps(request).encode(), f"judges.{name}"
    env = {"PYTHONHASHSEED": "0", **(fresh_env or {})}
    if fresh_env is None and module in session.preloaded:
        return session.call(module, stdin=stdin, timeout_s=task.timeout_s, env=env, report=True)
    command = ["python3", "-P", "-s", "-S", "-B", "-c", _MAIN.replace("NAME", name)]
    return session.run(command, stdin=stdin, timeout_s=task.timeout_s, env=env, report=True)


def _holds(case: OracleCase, answer: Mapping[str, Any]) -> bool:
    if case.raises is not None:
        return bool(answer.get("raised") == case.raises)
    try:
        return canonical(answer["value"]) == canonical(encode_value(case.expected))
    except (KeyError, ValueError, RecursionError):
        return False


def wrong_results(case: OracleCase, answer: Mapping[str, Any]) -> int:
    """How many results of a case an answer of `answer_cases` has wrong; 0 where the case holds.

    In a list, tuple or dictionary with as many items as expected, each item that differs counts.
    """
    if _holds(case, answer):
        return 0
    try:
        kind, expected = _items(encode_value(case.expected))
        found_kind, found = _items(answer["value"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return 1
    if found_kind != kind or found.keys() != expected.keys():
        return 1
    return max(1, sum(found[key] != item for key, item in expected.items()))


def _items(data: Any) -> tuple[str, dict[Any, str]]:
    """The kind of an encoded list, tuple or dictionary, and its items in canonical form."""
    ((kind, content),) = data.items()
    if kind == "dict":
        return kind, {canonical(key): canonical(item) for key, item in content}
    if kind in ("list", "tuple"):
        return kind, dict(enumerate(map(canonical, content)))
    raise ValueError(f"a {kind} has no items that could be compared")


def pytest_mounts() -> list[Mount]:
    """pytest and what it needs, from the controller's own installation, where they lie."""
    return [Mount(_installed(name)) for name in _PYTEST_NEEDS]


def importable(mounts: Sequence[Mount], sandbox: Sandbox) -> list[Mount]:
    """The mounts of packages and, where a sandbox shows folders in place, the folders above them.

    Python imports from folders that it can list.
    """
    folders = () if sandbox.isolation == "full" else {mount.source.parent for mount in mounts}
    return [*mounts, *map(Mount, sorted(folders))]


def _package_folders() -> list[Path]:
    return sorted({_installed(name).parent for name in _PYTEST_NEEDS})


@cache
def _installed(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise MissingExtra(name, "swe")
    path = Path(spec.origin)
    return path.parent if path.name == "__init__.py" else path

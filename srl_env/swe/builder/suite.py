"""Runs of a repository's tests in the sandbox, told test by test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from srl_env.errors import SandboxFailure
from srl_env.grading import warm_judges
from srl_env.grading.runs import pytest_mounts
from srl_env.grading.task import own_modules
from srl_env.grading.xfail import expects_failure
from srl_env.sandbox import CommandResult, Mount, Preload, Sandbox, Session
from srl_env.sandbox.session import KeeperSession
from srl_env.swe.builder.checkout import BUILD_LIMITS, Checkout, files_written
from srl_env.swe.packages import package_folders

_PROBES: Final = Path(__file__).resolve().parent / "probes"
_JUDGES: Final = Path(__file__).resolve().parents[2] / "grading" / "judges"
_FOLDER: Final = "/probing"
PROBING: Final = (Mount(_PROBES, f"{_FOLDER}/probes"), Mount(_JUDGES, f"{_FOLDER}/judges"))
"""What shows a session the probes, and the judges that they make use of."""
_MODULE: Final = "probes.suite"
_PRELOADED: Final = (_MODULE, "probes.script")
_MAIN: Final = (
    f"import sys; sys.path.insert(0, {_FOLDER!r}); from probes import suite; suite.main()"
)
_NOTHING: Final[Mapping[str, str]] = {}


@dataclass
class Outcome:
    """What became of one test: whether setup, call, teardown and its subtests passed.

    skipped: it was not run, or not to its end, or passes although it is expected to fail.

    text, line: of the first failure, and the line of the test's file that it came from.
    """

    passed: bool = True
    skipped: bool = False
    seconds: float = 0.0
    text: str = ""
    line: int = 0


@dataclass(frozen=True)
class SuiteRun:
    """One run of tests.

    ended: "exited", or the limit that ended it. outcomes: per test id.
    broken: files that could not be collected, and why. functions: per test what it ran, where
    traced, as "path:line". calls, parameters: as the probe recorded them.
    """

    ended: str
    wall_s: float
    output: str = field(repr=False)
    outcomes: Mapping[str, Outcome]
    broken: Mapping[str, str]
    functions: Mapping[str, Sequence[str]]
    calls: Sequence[Mapping[str, str]]
    parameters: Mapping[str, Mapping[str, str]]

    @cached_property
    def passed(self) -> set[str]:
        """The tests that passed."""
        return {test for test, outcome in self.outcomes.items() if outcome.passed}

    @cached_property
    def failed(self) -> set[str]:
        """The tests that ran and failed; those skipped are not among them."""
        return {
            t for t, outcome in self.outcomes.items() if not (outcome.passed or outcome.skipped)
        }


def warm_probes() -> Preload:
    """What a sandbox that tasks are made with may preload: the judges and the probes."""
    judges = warm_judges()
    return Preload((*judges.folders, _PROBES.parent), (*judges.modules, *_PRELOADED))


def run_suite(
    sandbox: Sandbox,
    checkout: Checkout,
    *,
    tests: Sequence[str] | None = None,
    files: Mapping[str, str] = _NOTHING,
    order: int | None = None,
    hash_seed: int | None = None,
    trace: bool = False,
    calls: bool = False,
    timeout_s: float | None = None,
) -> SuiteRun:
    """Runs tests of a checkout. Raises SandboxFailure.

    tests: which; None for all. files: path → text, written over the tree. order: seed of their
    order; None for that of the files. hash_seed: of a fresh interpreter; None for the warm one.
    trace: what each test ran is told too. calls: and the calls that could be made again.
    """
    chosen = checkout.test_files
    if tests is not None:
        chosen = tuple(dict.fromkeys(test.partition("::")[0] for test in tests))
    mounts = (*pytest_mounts(), *checkout.mounts)
    request: dict[str, Any] = {
        "tests": None if tests is None else list(tests),
        "files": list(chosen),
        "order": order,
        "trace": trace,
        "calls": calls,
        "conftest": checkout.conftest,
        "packages": list(package_folders(mounts)),
    }
    limit = checkout.timeout_s if timeout_s is None else timeout_s
    with sandbox.start(checkout.tree, limits=BUILD_LIMITS, mounts=(*mounts, *PROBING)) as session:
        session.apply(files_written(files))
        request |= entrance(session, checkout, files)
        done = _run(session, json.dumps(request).encode(), hash_seed, limit)
    return _read(done, checkout)


def entrance(session: Session, checkout: Checkout, files: Iterable[str]) -> dict[str, Any]:
    """What a request says of the workspace: its folders as a session sees them, what is its own.

    files: paths of those written over the tree.
    """
    folder = session.workspace
    return {
        "workspace": folder,
        "python_path": [f"{folder}/{path}".removesuffix("/.") for path in checkout.python_path],
        "own": sorted(own_modules(checkout.tree, checkout.python_path)),
        "changed": [f"{folder}/{path}" for path in files],
    }


def _run(session: Session, stdin: bytes, hash_seed: int | None, limit: float) -> CommandResult:
    if hash_seed is None and isinstance(session, KeeperSession) and _MODULE in session.preloaded:
        env = {"PYTHONHASHSEED": "0"}
        return session.call(_MODULE, stdin=stdin, timeout_s=limit, env=env, report=True)
    return session.run(
        ["python3", "-P", "-s", "-S", "-B", "-c", _MAIN],
        stdin=stdin,
        timeout_s=limit,
        env={"PYTHONHASHSEED": str(hash_seed or 0)},
        report=True,
    )


def _read(done: CommandResult, checkout: Checkout) -> SuiteRun:
    records = [json.loads(line) for line in done.report.splitlines() if line.endswith(b"}")]
    if not records:
        raise SandboxFailure(f"pytest could not be started ({done.ended}): {done.text()[-2000:]}")
    outcomes: dict[str, Outcome] = {}
    for record in records:
        if "test" in record:
            _add(outcomes.setdefault(record["test"], Outcome()), record, checkout)
    ended: str = done.ended
    if ended == "exited" and "end" not in records[-1]:
        ended = f"exit status {done.status} before the end"
    return SuiteRun(
        ended=ended,
        wall_s=done.wall_s,
        output=done.text(),
        outcomes=outcomes,
        broken={r["broken"]: r["text"] for r in records if "broken" in r},
        functions=_last(records, "functions", {}),
        calls=_last(records, "calls", []),
        parameters=_last(records, "parameters", {}),
    )


def _add(outcome: Outcome, record: Mapping[str, Any], checkout: Checkout) -> None:
    """Adds a phase, or with no outcome of its own a subtest, as a grade counts it."""
    outcome.seconds += record["seconds"]
    how = record["outcome"] or "passed"
    if how == "xfailed":
        source = (checkout.tree / record["test"].partition("::")[0]).read_bytes()
        how = "passed" if expects_failure(record["test"], source) else "skipped"
    outcome.skipped |= how in ("skipped", "xpassed")
    outcome.passed &= how == "passed"
    if record.get("text") and not outcome.text:
        outcome.text, outcome.line = record["text"], record["line"]


def _last(records: Sequence[Mapping[str, Any]], name: str, otherwise: Any) -> Any:
    return next((record[name] for record in reversed(records) if name in record), otherwise)

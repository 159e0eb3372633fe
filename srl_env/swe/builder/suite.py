"""Runs of a repository's tests in the sandbox, reported test by test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from srl_env.errors import SandboxFailure
from srl_env.grading.runs import pytest_mounts
from srl_env.grading.xfail import expects_failure
from srl_env.sandbox import CommandResult, Sandbox
from srl_env.swe.builder.checkout import NO_FILES, Checkout, run_probe


@dataclass
class TestOutcome:
    """The outcome of one test: whether setup, call, teardown and its subtests passed.

    skipped: it did not run, not to its end, or passes although it is expected to fail.
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
    broken: files that could not be collected, and why. parameters: of each test, as source text.
    Where traced: functions: the functions that each test ran, as "path:line"; calls: as the probe
    recorded them.
    """

    ended: str
    wall_s: float
    output: str = field(repr=False)
    outcomes: Mapping[str, TestOutcome]
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
        """The tests that ran and failed, without skipped ones."""
        return {
            t for t, outcome in self.outcomes.items() if not (outcome.passed or outcome.skipped)
        }


def run_suite(
    sandbox: Sandbox,
    checkout: Checkout,
    *,
    tests: Sequence[str] | None = None,
    files: Mapping[str, str] = NO_FILES,
    order: int | None = None,
    hash_seed: int | None = None,
    trace: bool = False,
    timeout_s: float | None = None,
) -> SuiteRun:
    """Runs tests of a checkout. Raises SandboxFailure.

    tests: their ids, or those of their functions, classes or files; None for all.
    files: path → text, written over the tree. order: seed of their order; None for that of the
    files. hash_seed: of a fresh interpreter; None for the preloaded
    one. trace: also records the functions and calls of each test.
    """
    chosen = checkout.test_files if tests is None else files_of(tests)
    request = {
        "tests": None if tests is None else list(tests),
        "files": list(chosen),
        "order": order,
        "trace": trace,
        "conftest": checkout.repository.conftest,
    }
    done = run_probe(
        sandbox,
        checkout,
        "suite",
        request,
        files=files,
        timeout_s=checkout.timeout_s if timeout_s is None else timeout_s,
        hash_seed=hash_seed,
        packages=pytest_mounts(),
    )
    return _read(done, checkout)


def files_of(tests: Sequence[str]) -> tuple[str, ...]:
    """The files of tests, each once."""
    return tuple(dict.fromkeys(test.partition("::")[0] for test in tests))


def related_tests(files: Sequence[str], sources: Sequence[str]) -> tuple[str, ...]:
    """The test files whose names contain the name of a changed module."""
    names = {PurePosixPath(path).stem.strip("_") for path in sources} - {"init", "main"}
    return tuple(
        f
        for f in files
        if PurePosixPath(f).stem.removeprefix("test_").removesuffix("_test") in names
    )


def _read(done: CommandResult, checkout: Checkout) -> SuiteRun:
    records = [json.loads(line) for line in done.report.splitlines() if line.endswith(b"}")]
    if not records:
        raise SandboxFailure(f"pytest could not be started ({done.ended}): {done.text()[-2000:]}")
    outcomes: dict[str, TestOutcome] = {}
    for record in records:
        if "test" in record:
            _add(outcomes.setdefault(record["test"], TestOutcome()), record, checkout)
    ended: str = done.ended
    if ended == "exited" and "end" not in records[-1]:
        ended = f"exit status {done.status} before the end"
    last = {key: item for record in records for key, item in record.items()}
    return SuiteRun(
        ended=ended,
        wall_s=done.wall_s,
        output=done.text(),
        outcomes=outcomes,
        broken={r["broken"]: r["text"] for r in records if "broken" in r},
        functions=last.get("functions", {}),
        calls=last.get("calls", []),
        parameters=last.get("parameters", {}),
    )


def _add(outcome: TestOutcome, record: Mapping[str, Any], checkout: Checkout) -> None:
    """Adds a phase, or with no outcome a subtest, as grading counts it."""
    outcome.seconds += record["seconds"]
    how = record["outcome"] or "passed"
    if how == "xfailed":
        source = (checkout.tree / record["test"].partition("::")[0]).read_bytes()
        how = "passed" if expects_failure(record["test"], source) else "skipped"
    outcome.skipped |= how in ("skipped", "xpassed")
    outcome.passed &= how == "passed"
    if record.get("text") and not outcome.text:
        outcome.text, outcome.line = record["text"], record["line"]

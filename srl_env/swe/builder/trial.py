"""One candidate made into a task, or dropped with the reason. All of it is really run.

In two stages, so that duplicates are not finished: ``probe`` runs the tests that reach the bug,
``make`` everything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from srl_env.errors import BadData
from srl_env.grading import GradingTask, OracleCase, Trust, grade
from srl_env.grading.runs import answer_cases, wrong_results
from srl_env.problem import ExpertStep
from srl_env.sandbox import Sandbox, Snapshot
from srl_env.swe.builder.checkout import files_written
from srl_env.swe.builder.expert import ExpertError, Repair, solve
from srl_env.swe.builder.mutation import Mutation, mutated
from srl_env.swe.builder.plan import Candidate, difficulty
from srl_env.swe.builder.project import Project, Target
from srl_env.swe.builder.reproduction import Reproduction, reproduce
from srl_env.swe.builder.source import Source
from srl_env.swe.builder.statement import write_statement
from srl_env.swe.builder.suite import SuiteRun, run_suite
from srl_env.swe.task import Repository, SWETask
from srl_env.swe.task_folder import TaskSet
from srl_env.swe.tools import Workbench
from srl_env.swe.workspace import open_workspace

MOST_FAILING: Final = 0.6
_HANGS_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why a candidate is no task."""

    reason: str


@dataclass(frozen=True, slots=True)
class Probed:
    """A bug that tests notice: which ones fail, and a digest of the faulty code."""

    failing: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class FailedCase:
    """An oracle case that a bug fails, and how many of its results are wrong."""

    case: OracleCase
    wrong: int


@dataclass(frozen=True)
class Workshop:
    """What every candidate of a build is made with.

    uncontrolled: the tests that controls cannot judge; found out when first asked for.
    examples: calls with what the right code answers that may be shown in statements; the
    repository's own oracle cases never are.
    """

    sandbox: Sandbox
    project: Project
    repository: Repository
    tasks: TaskSet
    seed: int
    uncontrolled: Callable[[], tuple[str, ...]]
    examples: tuple[OracleCase, ...]

    def faulty(self, bugs: Sequence[Mutation]) -> dict[str, str] | None:
        """The files with bugs in them; None where one is no Python, or means the same."""
        files = {}
        for path in dict.fromkeys(bug.path for bug in bugs):
            text = mutated(self.project.sources[path], *(b for b in bugs if b.path == path))
            if text is None:
                return None
            files[path] = text
        return files

    def run(self, files: Mapping[str, str], tests: Sequence[str] | None = None) -> SuiteRun:
        """The project's tests, or some of them, on faulty files."""
        known = self.project.tests if tests is None else tests
        seconds = self.project.suite_s if tests is None else 0.0
        limit = 5.0 + 10 * max(seconds, sum(self.project.seconds[test] for test in known))
        checkout = self.project.checkout
        return run_suite(self.sandbox, checkout, tests=known, files=files, timeout_s=limit)

    def failing(
        self, cases: tuple[OracleCase, ...], files: Mapping[str, str]
    ) -> list[FailedCase] | None:
        """Those of the cases that do not hold on faulty files; None where they hang."""
        if not cases:
            return []
        task = GradingTask(
            tree=self.project.checkout.tree,
            cases=cases,
            python_path=self.repository.python_path,
            mounts=self.project.checkout.mounts,
            timeout_s=_HANGS_S,
        )
        started = time.monotonic()
        answers = answer_cases(self.sandbox, task, files_written(files))
        if time.monotonic() - started >= _HANGS_S:
            return None
        found = (FailedCase(c, wrong_results(c, answers.get(c.name, {}))) for c in cases)
        return [failed for failed in found if failed.wrong]


def probe(shop: Workshop, candidate: Candidate) -> Probed | Dropped:
    """Whether tests that reach the bug notice it. Raises SandboxFailure."""
    files = shop.faulty(candidate.bugs)
    if files is None:
        return Dropped("the change is no Python, or changes nothing")
    reaching = {test: None for target in candidate.targets for test in target.tests}
    run = shop.run(files, [test for test in shop.project.tests if test in reaching])
    if unfit := _unfit(run, list(reaching)):
        return Dropped(unfit)
    if not run.failed:
        return Dropped("no test notices it")
    if len(run.failed) > max(5, MOST_FAILING * len(shop.project.tests)):
        return Dropped("nearly every test fails")
    digests = [Source(files[path], path).digest for path in sorted(files)]
    return Probed(tuple(sorted(run.failed)), " ".join(digests))


def make(shop: Workshop, candidate: Candidate) -> SWETask | Dropped:
    """The task, tried out as a whole. Raises SandboxFailure."""
    files = shop.faulty(candidate.bugs)
    assert files is not None
    run = shop.run(files)
    if unfit := _unfit(run, shop.project.tests):
        return Dropped(unfit)
    failing = tuple(test for test in shop.project.tests if test in run.failed)
    cases = shop.failing(shop.repository.cases, files)
    if not failing:
        return Dropped("the failing tests differ from run to run")
    if cases is None:
        return Dropped("the code hangs")
    if cases and not _judged_widely(shop, candidate, cases):
        return Dropped("one result is all that goes wrong: its example would tell it")
    repairs = _repairs(shop, candidate, files, run)
    if isinstance(repairs, Dropped):
        return repairs
    task = _task(shop, candidate, files, failing, cases, repairs)
    try:
        steps, left = _solve(shop, task, repairs)
    except ExpertError as error:
        return Dropped(f"the expert is stuck: {error}")
    task = replace(task, steps=steps)
    return _graded(shop, task, left)


def _unfit(run: SuiteRun, tests: Sequence[str]) -> str:
    """Why a run of tests on faulty code makes no task; empty where it can."""
    if run.ended == "timeout":
        return "the tests hang"
    if run.ended != "exited":
        return "the test run dies"
    if run.broken or any(test not in run.outcomes for test in tests):
        return "the code or its tests cannot be imported"
    if any(run.outcomes[test].skipped for test in tests):
        return "tests are skipped"
    return ""


def _judged_widely(shop: Workshop, candidate: Candidate, failing: Sequence[FailedCase]) -> bool:
    """Whether each bug makes two results of the oracle cases wrong.

    The report shows one; a change made for that one alone must not be right.
    failing: with all bugs.
    """
    if len(candidate.bugs) == 1:
        return _wrong(failing) > 1
    for bug in candidate.bugs:
        alone = shop.faulty([bug])
        assert alone is not None
        if _wrong(shop.failing(shop.repository.cases, alone) or ()) < 2:
            return False
    return True


def _wrong(failing: Sequence[FailedCase]) -> int:
    """The wrong results; those of a call that several cases make count once."""
    return sum({failed.case.expression: failed.wrong for failed in failing}.values())


def _repairs(
    shop: Workshop, candidate: Candidate, files: Mapping[str, str], run: SuiteRun
) -> list[Repair] | Dropped:
    """How each bug shows. Several are shown one by one first, and then all together."""
    found = []
    for bug, target in zip(candidate.bugs, candidate.targets, strict=True):
        shown = _shown(shop, bug, target, files, run)
        if shown is None:
            return Dropped("no short example shows it")
        found.append(Repair(shown, bug.path, bug.function, bug.line))
    if len({repair.shown.script for repair in found}) < len(found):
        return Dropped("one example shows several bugs")
    return found


def _shown(
    shop: Workshop, bug: Mutation, target: Target, files: Mapping[str, str], run: SuiteRun
) -> Reproduction | None:
    """run: of the tests with all bugs, which will do where there is only this one."""
    alone = shop.faulty([bug])
    assert alone is not None
    if alone != files:
        run = shop.run(alone, target.tests)
    cases = shop.failing(shop.examples, alone)
    if cases is None:
        return None
    examples = [failed.case for failed in cases]
    return reproduce(shop.sandbox, shop.project, target, alone, examples, run, files)


def _task(
    shop: Workshop,
    candidate: Candidate,
    files: Mapping[str, str],
    failing: tuple[str, ...],
    cases: Sequence[FailedCase],
    repairs: Sequence[Repair],
) -> SWETask:
    """The task without its steps."""
    name, repository, trust = shop.repository.name, shop.repository, _trust(shop, failing, cases)
    if trust == "controlled":
        repository = replace(repository, uncontrolled=shop.uncontrolled())
    return SWETask(
        id=f"{name}-{candidate.id}",
        repository=repository,
        statement=write_statement(
            _package(shop.project), [r.shown for r in repairs], candidate.key, shop.seed
        ),
        change=files,
        fail_to_pass=failing,
        hidden=tuple(dict.fromkeys(test.partition("::")[0] for test in failing)),
        trust=trust,
        split=candidate.split,
        difficulty=difficulty(
            bugs=len(repairs),
            hops=max(max(0, len(repair.shown.way) - 1) for repair in repairs),
            failing=len(failing),
            lines=max(t.function.last - t.function.first + 1 for t in candidate.targets),
            raises=any(r.shown.actual.error and not r.shown.expected.error for r in repairs),
        ),
        metadata={
            "kinds": [bug.kind for bug in candidate.bugs],
            "functions": [target.id for target in candidate.targets],
            "failing_cases": len(cases),
            "wrong_results": _wrong(cases),
        },
    )


def _trust(shop: Workshop, failing: Sequence[str], cases: Sequence[FailedCase]) -> Trust:
    if cases:
        return "oracle"
    return "inprocess" if set(failing) & set(shop.uncontrolled()) else "controlled"


def _package(project: Project) -> str:
    """What users call the library: the package that most of its functions are in."""
    tops: dict[str, int] = {}
    for target in project.targets:
        parts = PurePosixPath(target.path).parts
        root = next((r for r in project.checkout.python_path if r == parts[0]), None)
        top = parts[1] if root and len(parts) > 1 else parts[0]
        tops[top] = tops.get(top, 0) + 1
    return max(tops, key=lambda top: tops[top]).removesuffix(".py")


def _solve(
    shop: Workshop, task: SWETask, repairs: Sequence[Repair]
) -> tuple[tuple[ExpertStep, ...], Snapshot]:
    """The expert's steps, and the workspace they lead to. Raises ExpertError."""
    right = {path: source.text for path, source in shop.project.sources.items()}
    visible = [file for file in shop.project.visible_files if file not in task.hidden]
    with open_workspace(shop.sandbox, shop.tasks.tree(task), task.repository) as session:
        bench = Workbench(session)
        steps = solve(
            bench, repairs, task.change, right, tests=visible, key=task.id, seed=shop.seed
        )
        try:
            return steps, session.snapshot()
        except OSError as error:
            raise ExpertError(f"its workspace cannot be kept: {error}") from error


def _graded(shop: Workshop, task: SWETask, left: Snapshot) -> SWETask | Dropped:
    """The task, if the right code and the expert's pass and the faulty code does not."""
    try:
        judged = shop.tasks.grading_task(task)
    except BadData as error:
        return Dropped(f"it cannot be graded: {error}")
    gold = shop.tasks.gold_snapshot(task)
    if not grade(shop.sandbox, judged, gold).resolved:
        return Dropped("the right code is not graded as resolved")
    if not grade(shop.sandbox, judged, left).resolved:
        return Dropped("the expert's workspace is not graded as resolved")
    if grade(shop.sandbox, judged, Snapshot((), ())).resolved:
        return Dropped("the faulty code is graded as resolved")
    return task

"""One candidate tried: it becomes a task, or is dropped with the reason. Everything is executed."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from srl_env.errors import BadData
from srl_env.grading import OracleCase, Trust, grade
from srl_env.grading.runs import answer_cases, wrong_results
from srl_env.problem import ExpertStep
from srl_env.sandbox import Sandbox, Snapshot
from srl_env.swe.builder.expert import ExpertError, Repair, solve
from srl_env.swe.builder.mutation import Mutation, mutated
from srl_env.swe.builder.plan import Candidate, difficulty
from srl_env.swe.builder.project import Project, Target
from srl_env.swe.builder.reproduction import Reproduction, reproduce
from srl_env.swe.builder.source import Source
from srl_env.swe.builder.statement import write_statement
from srl_env.swe.builder.suite import SuiteRun, files_of, run_suite
from srl_env.swe.task import Repository, SWETask
from srl_env.swe.task_folder import TaskSet, files_written
from srl_env.swe.tools import Workbench
from srl_env.swe.workspace import open_workspace

MOST_FAILING: Final = 0.5
MOST_TAKEN_BACK: Final = 4  # functions
COMMON: Final = "like others: same function, same failing tests"
_HANGS_S: Final = 10.0

FailedCases = Sequence[tuple[OracleCase, int]]
"""Oracle cases that fail, with their numbers of wrong results."""


class Dropped(Exception):
    """A candidate is no task; the message is the reason."""


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a build use.

    examples: oracle cases that statements may show; the repository's own cases are never shown.
    uncontrolled: returns the tests that controls cannot judge.
    """

    sandbox: Sandbox
    project: Project
    repository: Repository
    tasks: TaskSet
    seed: int
    examples: tuple[OracleCase, ...]
    uncontrolled: Callable[[], tuple[str, ...]]

    def buggy(self, bugs: Sequence[Mutation]) -> dict[str, Source]:
        """The files with bugs in them, by path. Raises Dropped."""
        files = {}
        for path in dict.fromkeys(path for bug in bugs for path in bug.changed):
            source = mutated(self.project.sources[path], *bugs)
            if source is None:
                raise Dropped("the change is invalid Python, or changes nothing")
            files[path] = source
        return files

    def run(self, files: Mapping[str, str], tests: Sequence[str]) -> SuiteRun:
        """The outcomes of tests on buggy files."""
        known = self.project.suite_s if tests == self.project.tests else 0.0
        limit = 5.0 + 10 * max(known, sum(self.project.seconds[test] for test in tests))
        checkout = self.project.checkout
        return run_suite(self.sandbox, checkout, tests=tests, files=files, timeout_s=limit)

    def failed_cases(self, cases: tuple[OracleCase, ...], files: Mapping[str, str]) -> FailedCases:
        """The cases that fail on buggy files. Raises Dropped where the code hangs."""
        if not cases:
            return []
        task = self.project.checkout.grading_task(cases=cases, timeout_s=_HANGS_S)
        started = time.monotonic()
        answers = answer_cases(self.sandbox, task, files_written(files))
        if time.monotonic() - started >= _HANGS_S:
            raise Dropped("the code hangs")
        found = ((case, wrong_results(case, answers.get(case.name, {}))) for case in cases)
        return [(case, wrong) for case, wrong in found if wrong]


class Trial:
    """A candidate and its buggy files, path → text. Raises Dropped for invalid Python.

    digest: equal for candidates with the same code.
    """

    def __init__(self, context: TrialContext, candidate: Candidate) -> None:
        self._context, self.candidate = context, candidate
        sources = context.buggy(candidate.bugs)
        self.files = {path: source.text for path, source in sources.items()}
        self.digest = " ".join(sources[path].digest for path in sorted(sources))

    def task(
        self, is_common: Callable[[tuple[str, ...]], bool]
    ) -> tuple[SWETask, tuple[Reproduction, ...]]:
        """The task, and what its statement shows. Raises Dropped, SandboxFailure.

        is_common: whether enough tasks of the same functions fail exactly these tests.
        """
        context, tests = self._context, self._context.project.tests
        reaching = {test for target in self.candidate.targets for test in target.tests}
        failing, _ = self._failing(tuple(test for test in tests if test in reaching))
        if len(failing) > MOST_FAILING * len(tests):
            raise Dropped("more than half of the tests fail")
        if is_common(failing):
            raise Dropped(COMMON)
        failing, run = self._failing(tests)
        if len(failing) > MOST_FAILING * len(tests):
            raise Dropped("more than half of the tests fail")
        self._check_reason(run)
        cases = context.failed_cases(context.repository.cases, self.files)
        if cases and not self._is_judged_widely(cases):
            raise Dropped("one result is all that is wrong: the example would give it away")
        repairs = self._repairs(run)
        task = self._task(failing, cases, repairs)
        try:
            steps, workspace = self._solve(task, repairs)
        except ExpertError as error:
            raise Dropped(f"the expert is stuck: {error}") from None
        task = replace(task, steps=steps)
        self._check_grades(task, workspace)
        return task, tuple(repair.shown for repair in repairs if repair.shown)

    def _check_reason(self, run: SuiteRun) -> None:
        """Raises Dropped where a test fails for another reason than the one that was stated."""
        stated = self.candidate.fails_with
        found = {failure_name(run.outcomes[test].text) for test in run.failed}
        if stated and not found <= {"", *stated}:
            raise Dropped("a test fails for another reason than the model states")

    def _failing(self, tests: tuple[str, ...]) -> tuple[tuple[str, ...], SuiteRun]:
        """The tests that fail, in order, and the run. Raises Dropped for an unusable run."""
        run = self._context.run(self.files, tests)
        if run.ended == "timeout":
            raise Dropped("the tests hang")
        if run.ended != "exited":
            raise Dropped("the test run dies")
        if run.broken or any(test not in run.outcomes for test in tests):
            raise Dropped("the code or its tests cannot be imported")
        if any(run.outcomes[test].skipped for test in tests):
            raise Dropped("tests are skipped")
        if not run.failed:
            raise Dropped("no test notices it")
        return tuple(test for test in tests if test in run.failed), run

    def _alone(self, bug: Mutation) -> dict[str, str]:
        """The files with this one of the bugs."""
        if len(self.candidate.bugs) == 1:
            return self.files
        return {path: source.text for path, source in self._context.buggy([bug]).items()}

    def _is_judged_widely(self, cases: FailedCases) -> bool:
        """Whether each bug makes two results of the oracle cases wrong.

        The report shows one of them. A change that corrects only that one must fail.
        cases: those that fail with all bugs.
        """
        if len(self.candidate.bugs) == 1:
            return _wrong(cases) > 1
        context = self._context
        return all(
            _wrong(context.failed_cases(context.repository.cases, self._alone(bug))) > 1
            for bug in self.candidate.bugs
        )

    def _repairs(self, run: SuiteRun) -> list[Repair]:
        """How each bug shows. run: of all tests, with all bugs."""
        found, now = [], dict(self.files)
        for bug, target in zip(self.candidate.bugs, self.candidate.targets, strict=True):
            shown = self._shown(bug, target, run)
            if shown is None:
                raise Dropped("no short example shows it")
            if completed := self._completed(bug):
                after = {path: text for path, text in completed.items() if text != now[path]}
                found.append(Repair(shown, after))
                continue
            for part in bug.parts:
                if part.edits:
                    correct = self._context.project.sources[part.path].text
                    now[part.path] = _with_function(now[part.path], correct, part.function)
            found.append(Repair(shown, {path: now[path] for path in bug.changed}))
        if len({repair.shown.script for repair in found if repair.shown}) < len(found):
            raise Dropped("one example shows several bugs")
        return found

    def _completed(self, bug: Mutation) -> dict[str, str] | None:
        """The files in which a change was completed, if that corrects it; None where not.

        Raises Dropped where taking everything back would be a long way.
        """
        context, completed = self._context, bug.completed
        if completed is None or len(self.candidate.bugs) > 1:
            return None
        files = {path: source.text for path, source in context.buggy([completed]).items()}
        run = context.run(files, context.project.tests)
        failed = run.ended != "exited" or run.failed or run.broken
        if not failed and not context.failed_cases(context.repository.cases, files):
            return files
        if len(bug.parts) > MOST_TAKEN_BACK:
            raise Dropped("its callers are many, and tests call it themselves")
        return None

    def _shown(self, bug: Mutation, target: Target, run: SuiteRun) -> Reproduction | None:
        context, alone = self._context, self._alone(bug)
        if alone != self.files:
            run = context.run(alone, target.tests)
        examples = [case for case, _ in context.failed_cases(context.examples, alone)]
        return reproduce(
            context.sandbox,
            context.project,
            target,
            alone,
            examples,
            run,
            self.files,
            self.candidate.example,
        )

    def _task(
        self, failing: tuple[str, ...], cases: FailedCases, repairs: Sequence[Repair]
    ) -> SWETask:
        """The task without its steps."""
        context, candidate = self._context, self.candidate
        shown = [repair.shown for repair in repairs if repair.shown]
        trust, repository = self._trust(failing, cases), context.repository
        if trust == "controlled":
            repository = replace(repository, uncontrolled=context.uncontrolled())
        package = package_of(context.project)
        return SWETask(
            id=f"{repository.name}-{candidate.id}",
            repository=repository,
            statement=write_statement(package, shown, candidate.key, context.seed),
            change=self.files,
            fail_to_pass=failing,
            hidden=files_of(failing),
            trust=trust,
            split=candidate.split,
            difficulty=difficulty(
                bugs=len(candidate.changed),
                hops=max(max(0, len(one.calls) - 1) for one in shown),
                failing=len(failing),
                lines=max(target.function.lines for target in candidate.targets),
                raises=any(one.actual.error and not one.expected.error for one in shown),
            ),
            metadata={
                "kinds": [bug.kind for bug in candidate.bugs],
                "functions": list(candidate.functions),
                "files": len(self.files),
                "failing_cases": len(cases),
                "wrong_results": _wrong(cases),
            },
        )

    def _trust(self, failing: Sequence[str], cases: FailedCases) -> Trust:
        if cases:
            return "oracle"
        return "inprocess" if set(failing) & set(self._context.uncontrolled()) else "controlled"

    def _solve(
        self, task: SWETask, repairs: Sequence[Repair]
    ) -> tuple[tuple[ExpertStep, ...], Snapshot]:
        """The expert's steps, and the workspace they lead to. Raises ExpertError."""
        context = self._context
        before = {path: source.text for path, source in context.project.sources.items()}
        visible = [file for file in context.project.visible_files if file not in task.hidden]
        tests = [test for target in self.candidate.targets for test in target.tests]
        reaching = [file for file in files_of(tests) if file in visible]
        with open_workspace(context.sandbox, context.tasks.tree(task), task.repository) as session:
            steps = solve(Workbench(session), repairs, before | self.files, visible, reaching)
            try:
                return steps, session.snapshot()
            except OSError as error:
                raise ExpertError(f"its workspace cannot be kept: {error}") from error

    def _check_grades(self, task: SWETask, expert: Snapshot) -> None:
        """Raises Dropped unless the correct and the expert's code pass and the buggy code fails."""
        try:
            judged = self._context.tasks.grading_task(task)
        except BadData as error:
            raise Dropped(f"it cannot be graded: {error}") from None
        for what, workspace, due in (
            ("the correct code", self._context.tasks.gold_snapshot(task), True),
            ("the expert's workspace", expert, True),
            ("the buggy code", Snapshot((), ()), False),
        ):
            if grade(self._context.sandbox, judged, workspace).resolved != due:
                raise Dropped(f"{what} is {'not ' if due else ''}graded as resolved")


def _wrong(cases: FailedCases) -> int:
    """The number of wrong results; several cases with the same call count once."""
    return sum({case.expression: wrong for case, wrong in cases}.values())


def failure_name(text: str) -> str:
    """The name of the exception at the end of a failure's text; "" where it is cut off.

    Where an exception was missing, it is AssertionError.
    """
    ends = re.findall(r"(?:^(?!E ).*\n)E +(.+)", text, re.MULTILINE)
    if not ends:
        return ""
    found = re.match(r"(?:\w+\.)*(\w+)(?=:|$)", ends[-1])
    name = found[1] if found else ""
    return "AssertionError" if name == "Failed" or ends[-1].startswith("assert ") else name


def _with_function(buggy: str, correct: str, name: str) -> str:
    """A file with one function as in the correct text; others may still have bugs."""
    old, new = Source(buggy).function(name), Source(correct).function(name)
    lines, right = (re.split(r"(?<=\n)", text) for text in (buggy, correct))
    fixed = right[new.first - 1 : new.last]
    return "".join([*lines[: old.first - 1], *fixed, *lines[old.last :]])


def package_of(project: Project) -> str:
    """What users call the library: the package that has most of its functions."""
    roots, tops = project.checkout.repository.python_path, Counter[str]()
    for target in project.targets:
        parts = PurePosixPath(target.path).parts
        tops[parts[1] if parts[0] in roots and len(parts) > 1 else parts[0]] += 1
    return tops.most_common(1)[0][0].removesuffix(".py")

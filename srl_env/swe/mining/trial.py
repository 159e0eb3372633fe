"""One commit, tried in the sandbox: tests on both versions, statement, expert, grades."""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from srl_env.errors import BadData, BadOption
from srl_env.grading import grade, validate_controls
from srl_env.sandbox import Sandbox, Snapshot
from srl_env.swe.builder.checkout import Checkout
from srl_env.swe.builder.expert import ExpertError, Repair, solve
from srl_env.swe.builder.project import (
    Project,
    Target,
    find_checkout,
    is_source_file,
    is_test_file,
    sources_of,
)
from srl_env.swe.builder.reproduction import Reproduction, reproduce
from srl_env.swe.builder.source import Source
from srl_env.swe.builder.suite import SuiteRun, related_tests, run_suite
from srl_env.swe.builder.testing_code import failing_code
from srl_env.swe.dependencies.declared import (
    Declared,
    looks_up_versions,
    read_declared,
    takes_python,
)
from srl_env.swe.dependencies.environment import Environment
from srl_env.swe.mining.history import Commit, History
from srl_env.swe.mining.options import MineOptions
from srl_env.swe.mining.selection import Patch, changed_tests, without_layout
from srl_env.swe.mining.statement import Issues, described, write_statement
from srl_env.swe.task import SWETask, check_path
from srl_env.swe.task_folder import TaskSet, TaskWriter
from srl_env.swe.tools import Workbench
from srl_env.swe.workspace import open_workspace

NOT_IMPORTED: Final = "its tests cannot be imported here"
MAX_TESTS_S: Final = 8.0
_OTHERS: Final = 100
_OTHERS_S: Final = 15.0
_SPLITS: Final = (("train", 0.7), ("dev", 0.8), ("test", 1.0))
_FAILURE_LINES: Final = 8
_CONTROL_ROUNDS: Final = 5
_FUNCTIONS: Final = 3
_VISIBLE: Final = 3
_TRIED: Final = 4
_EXAMPLES: Final = 3
_SHORT: Final = 900
_VISIBLE_S: Final = 10.0
_VERSION: Final = '__version__ = version = "0.0.0"\n__version_tuple__ = version_tuple = (0, 0, 0)\n'


class Dropped(Exception):
    """Why a commit is no task; nobody's error."""


class NotHere(Dropped):
    """Why it is none on this machine; another run may have what it needs."""


class TooSlow(Dropped):
    """Its tests take longer than the time limit of their first run."""


class OutOfTime(Dropped):
    """It takes longer than ``commit_timeout_s``."""


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a run share.

    environment: makes the environment of what a commit declares; raises NotHere.
    """

    sandbox: Sandbox
    history: History
    options: MineOptions
    issues: Issues
    environment: Callable[[Declared], Environment | None]


class Trial:
    """One commit, run in the sandbox.

    tree: its code, which it may change. folder: for the task. first_s: time limit of the first run
    of its tests.
    """

    def __init__(
        self,
        context: TrialContext,
        commit: Commit,
        patch: Patch,
        tree: Path,
        folder: Path,
        first_s: float,
    ) -> None:
        self._context, self._sandbox = context, context.sandbox
        self._commit, self._patch, self._tree = commit, patch, tree
        self._folder, self._first_s = folder, first_s
        self._all_tests: tuple[str, ...] = ()
        self._ends = time.monotonic() + context.options.commit_timeout_s

    def made(self) -> str:
        """Writes the task into the folder; its id. Raises Dropped, SandboxFailure."""
        checkout = self._checkout()
        targets = self._targets(checkout)
        right = self._run(checkout, {}, tests=targets, timeout_s=self._first_s)
        if right.ended == "timeout":
            raise TooSlow(f"its tests take longer than {self._first_s:g} s")
        _require_tests(right)
        # Twice as long, so that a busy machine does not make it hang.
        faulty = self._run(checkout, self._patch.before, tests=targets, timeout_s=2 * self._first_s)
        if faulty.ended == "timeout":
            raise Dropped("the tests hang before the commit")
        if faulty.broken or any(test not in faulty.outcomes for test in right.passed):
            raise Dropped("the tests cannot be imported before the commit: they need new names")
        failing, passing = self._chosen(right, faulty)
        if failing and self._commit.given is None:
            others = [t for t in self._others(checkout) if t not in {*failing, *passing}]
            passing += others[:_OTHERS]
        failing, passing = self._stable(checkout, failing, passing)
        if not failing:
            raise Dropped("no changed test fails before the commit and passes after it")
        project = self._project(checkout, right)
        shown = self._shown(project, faulty, failing)
        examples = [shown, *self._more(project, faulty, failing, shown)] if shown else []
        statement = self._statement(project, examples, faulty, failing)
        return self._written(checkout, failing, passing, shown, statement)

    def _checkout(self) -> Checkout:
        """The commit's code, with what it needs, and the files whose tests are run."""
        options = self._context.options
        try:
            found = find_checkout(self._tree, options.test_timeout_s)
        except BadOption as error:
            raise Dropped(str(error).partition(": ")[2]) from None
        declared = read_declared(self._tree, found.foreign)
        if not takes_python(declared.python):
            version = ".".join(map(str, sys.version_info[:3]))
            raise NotHere(f"it needs Python {declared.python}; this is {version}")
        _write_versions(self._tree, declared)
        if options.install:
            if not looks_up_versions(self._tree):
                declared = replace(declared, name="")
            environment = self._context.environment(declared)
            repository = replace(found.repository, packages=(), environment=environment)
            found = replace(found, repository=repository)
        self._all_tests = found.test_files
        tests = changed_tests(self._commit)
        if self._commit.given is not None:
            related = self._commit.given.files
        else:
            related = frozenset(related_tests(found.test_files, tuple(self._patch.after)))
        chosen = tuple(f for f in found.test_files if f in tests or f in related)
        if not chosen:
            raise Dropped("it changes no file with tests for pytest")
        return replace(found, test_files=chosen)

    def _targets(self, checkout: Checkout) -> list[str]:
        """The tests that the commit changed, as ids of functions, classes or files."""
        if self._commit.given is not None:
            return list(checkout.test_files)
        helpers = any(
            not is_test_file(change.path) and not is_source_file(change.path)
            for change in self._commit.files
            if change.path.endswith(".py")
        )
        return [
            test
            for path in changed_tests(self._commit)
            if path in checkout.test_files
            for test in ([path] if helpers else self._changed_in(path))
        ]

    def _changed_in(self, path: str) -> list[str]:
        """The changed tests of a file; the file where something that they share has changed."""
        before = self._context.history.text(self._commit.parent, path)
        after = self._context.history.text(self._commit.sha, path)
        try:
            old, new = _definitions(before or ""), _definitions(after or "")
        except (SyntaxError, ValueError, RecursionError):
            return [path]
        changed = [name for name in new if old.get(name) != new[name]]
        tests = [name for name in changed if name.lower().startswith("test")]
        return [f"{path}::{name}" for name in tests] if changed == tests != [] else [path]

    def _run(self, checkout: Checkout, files: Mapping[str, str], **how: Any) -> SuiteRun:
        left = self._time_left()
        limit = min(how.pop("timeout_s", checkout.timeout_s), left)
        return run_suite(self._sandbox, checkout, files=files, timeout_s=limit, **how)

    def _time_left(self) -> float:
        left = self._ends - time.monotonic()
        if left < 1:
            raise OutOfTime(f"it takes longer than {self._context.options.commit_timeout_s:g} s")
        return left

    def _chosen(self, right: SuiteRun, faulty: SuiteRun) -> tuple[list[str], list[str]]:
        """The tests that the patch makes pass, and those that pass before and after it."""
        changed, given = set(changed_tests(self._commit)), self._commit.given
        failing = [t for t in right.outcomes if t in right.passed and t in faulty.failed]
        failing = [test for test in failing if test.partition("::")[0] in changed]
        passing = [t for t in right.outcomes if t in right.passed and t in faulty.passed]
        if given is None:
            return failing, passing
        absent = [test for test in given.failing if test not in failing]
        if absent:
            raise Dropped(
                f"{len(absent)} of its {len(given.failing)} tests do not fail before the change"
                " and pass after it here"
            )
        return (
            [test for test in failing if test in given.failing],
            [test for test in passing if test in (given.passing or passing)],
        )

    def _others(self, checkout: Checkout) -> list[str]:
        """More tests that pass after the commit, as far as they are done in time."""
        files = dict.fromkeys((*checkout.test_files, *self._all_tests))
        every = replace(checkout, test_files=tuple(files))
        run = self._run(every, {}, timeout_s=_OTHERS_S)
        return [test for test in run.outcomes if test in run.passed]

    def _stable(
        self, checkout: Checkout, failing: Sequence[str], passing: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """Those of the tests with the same outcomes in another order, within the time limit."""
        tests = [*failing, *passing]
        if not failing:
            return [], []
        again = self._run(checkout, {}, tests=tests, order=1, hash_seed=1)
        before = self._run(checkout, self._patch.before, tests=tests, order=2, hash_seed=2)
        seconds, kept = 0.0, []
        for test in tests:
            seconds += again.outcomes[test].seconds if test in again.outcomes else 0.0
            if test in again.passed and seconds <= MAX_TESTS_S:
                kept.append(test)
        return (
            [t for t in kept if t in failing and t in before.failed],
            [t for t in kept if t in passing and t in before.passed],
        )

    def _project(self, checkout: Checkout, right: SuiteRun) -> Project:
        return Project(
            name=self._tree.name,
            checkout=checkout,
            excluded={},
            sources=sources_of(self._tree),
            targets=(),
            suite_s=right.wall_s,
            seconds={},
            visible_files=(),
            parameters=right.parameters,
        )

    def _shown(
        self, project: Project, faulty: SuiteRun, failing: Sequence[str]
    ) -> Reproduction | None:
        """A script, made from a failing test, that shows the fault."""
        before, found = dict(self._patch.before), None
        functions = [*self._functions()][:_FUNCTIONS]
        targets: list[Target | None] = [Target(*place, tuple(failing)) for place in functions]
        for target in targets or [None]:
            shown = reproduce(self._sandbox, project, target, before, (), faulty, before)
            if shown is not None and (shown.calls or not target):
                return shown
            found = found or shown
        return found

    def _more(
        self, project: Project, faulty: SuiteRun, failing: Sequence[str], shown: Reproduction
    ) -> Sequence[Reproduction]:
        """Examples of other tests that fail: one test seldom shows all that is asked for."""
        functions = {test.rpartition("::")[2].partition("[")[0]: test for test in failing}
        before, found = dict(self._patch.before), [shown]
        for test in list(functions.values())[:_TRIED]:
            self._time_left()
            run = replace(faulty, outcomes={test: faulty.outcomes[test]})
            one = reproduce(self._sandbox, project, None, before, (), run, before)
            if one and len(one.script) <= _SHORT and not any(_alike(one, two) for two in found):
                found.append(one)
            if len(found) == _EXAMPLES:
                break
        return found[1:]

    def _functions(self) -> Iterator[tuple[str, Any]]:
        """The functions that the patch changes, where the code before has them."""
        for path, before in self._patch.before.items():
            new = {f.name: f for f in Source(self._patch.after[path], path).functions}
            old = Source(before, path)
            for function in old.functions:
                other = new.get(function.name)
                lines = before.splitlines()[function.first - 1 : function.last]
                after = self._patch.after[path].splitlines()
                if other is None or lines != after[other.first - 1 : other.last]:
                    yield path, function

    def _statement(
        self,
        project: Project,
        shown: Sequence[Reproduction],
        faulty: SuiteRun,
        failing: Sequence[str],
    ) -> str:
        if self._commit.given is not None:
            return self._commit.given.statement
        added = [line for _, _, new in self._patch.hunks for line in new]
        told = described(self._commit.message, self._context.issues, added)
        outcomes = {test: faulty.outcomes[test] for test in failing}
        codes = [(failing_code(project, test, o.line), o) for test, o in outcomes.items()]
        code, outcome = min(codes, key=lambda one: (not one[0], len(one[0])))
        lines = outcome.text.splitlines()
        failure = [line[1:].strip() for line in lines if line.startswith("E")]
        if not told and not shown:
            raise Dropped("its message says too little, and no short script shows the fault")
        return write_statement(told, shown, code, "\n".join(failure[:_FAILURE_LINES]))

    def _written(
        self,
        checkout: Checkout,
        failing: Sequence[str],
        passing: Sequence[str],
        shown: Reproduction | None,
        statement: str,
    ) -> str:
        commit = self._commit
        repository = replace(checkout.repository, tests=(*failing, *passing))
        task = SWETask(
            id=commit.given.id if commit.given else f"{self._tree.name}-commit",
            repository=repository,
            statement=statement,
            change=self._patch.before,
            fail_to_pass=tuple(failing),
            hidden=changed_tests(commit),
            trust="inprocess",
            split=_split_of(commit.sha),
            difficulty=self._difficulty(failing),
            metadata={"kinds": [commit.given.kind if commit.given else "commit"]}
            | {"commit": commit.sha, "date": commit.date, "files": len(self._patch.after)}
            | {"hunks": len(self._patch.hunks)}
            | {"lines": self._patch.lines},
        )
        shutil.rmtree(self._folder, ignore_errors=True)
        trial = TaskWriter(self._folder)
        trial.add_repository(repository, self._tree)
        trial.put(repository.name, [task])
        tasks = TaskSet(self._folder)
        task = self._graded(tasks, self._controlled(tasks, task), shown)
        trial.add_repository(task.repository, tasks.code(task))
        trial.put(repository.name, [task])
        return task.id

    def _controlled(self, tasks: TaskSet, task: SWETask) -> SWETask:
        """The task at trust "controlled", where controls can judge the tests that must be fixed."""
        stricter = replace(task, trust="controlled")
        for _ in range(_CONTROL_ROUNDS):
            self._time_left()
            judged, gold = tasks.grading_task(stricter), tasks.gold_snapshot(task)
            said = validate_controls(self._sandbox, judged, gold, rounds=1)
            if not said:
                return stricter
            unjudged = [t for t in judged.tests if any(line.startswith(f"{t} ") for line in said)]
            if not unjudged or set(unjudged) & set(task.fail_to_pass):
                break
            unjudged += stricter.repository.uncontrolled
            repository = replace(task.repository, uncontrolled=tuple(unjudged))
            stricter = replace(stricter, repository=repository)
        return task

    def _graded(self, tasks: TaskSet, task: SWETask, shown: Reproduction | None) -> SWETask:
        """The task with the expert's steps, if grading agrees about all three workspaces."""
        try:
            judged = tasks.grading_task(task)
            visible = self._visible(tasks, task)
            with open_workspace(self._sandbox, tasks.tree(task), task.repository) as session:
                before, after = self._patch.before, self._patch.after
                goal = {path: without_layout(before[path], text) for path, text in after.items()}
                repair = Repair(shown, {p: text for p, text in goal.items() if text != before[p]})
                sources = sources_of(self._tree)
                files = {path: source.text for path, source in sources.items()} | dict(before)
                steps = solve(Workbench(session), [repair], files, visible)
                left = session.snapshot()
        except (BadData, ExpertError, OSError) as error:
            raise Dropped(f"the expert cannot finish: {error}") from None
        for what, workspace, due in (
            ("the code after the commit", tasks.gold_snapshot(task), True),
            ("the expert's workspace", left, True),
            ("the code before the commit", Snapshot((), ()), False),
        ):
            self._time_left()
            if grade(self._sandbox, judged, workspace).resolved != due:
                raise Dropped(f"{what} is {'not ' if due else ''}graded as resolved")
        return replace(task, steps=steps)

    def _visible(self, tasks: TaskSet, task: SWETask) -> list[str]:
        """Test files that the policy sees and that pass after the commit; few.

        First those named after a changed module, then those that name one.
        """
        changed = [PurePosixPath(path).stem for path in self._patch.after]
        files = [file for file in self._all_tests if file not in task.hidden]
        texts = {file: (self._tree / file).read_text("utf-8", "replace") for file in files}
        naming = [f for f in files if any(re.search(rf"\b{s}\b", texts[f]) for s in changed)]
        ordered = dict.fromkeys((*related_tests(files, tuple(self._patch.after)), *naming, *files))
        passing = list[str]()
        with open_workspace(self._sandbox, tasks.tree(task), task.repository) as session:
            session.apply(tasks.gold_snapshot(task))
            for file in list(ordered)[: 2 * _VISIBLE]:
                if len(passing) < _VISIBLE and self._time_left():
                    done = session.run(
                        ["python3", "-m", "pytest", "-qq", file], timeout_s=_VISIBLE_S
                    )
                    passing += [file] if done.ok else []
        return passing

    def _difficulty(self, failing: Sequence[str]) -> float:
        """In [0, 1], from files, hunks, lines and failing tests."""
        parts = (
            0.15 * len(self._patch.after),
            0.05 * len(self._patch.hunks),
            0.01 * self._patch.lines,
            0.02 * len(failing),
        )
        return min(1.0, sum(parts))


def _alike(one: Reproduction, other: Reproduction) -> bool:
    """Whether two examples end alike: with the same line, or in the same two ways."""
    ends = [shown.script.rstrip().rpartition("\n")[2] for shown in (one, other)]
    texts = [(shown.actual.text, shown.expected.text) for shown in (one, other)]
    return ends[0] == ends[1] or texts[0] == texts[1]


def _require_tests(run: SuiteRun) -> None:
    if not run.passed and (run.broken or not run.outcomes):
        text = next(iter(run.broken.values()), run.output)
        errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
        raise NotHere(f"{NOT_IMPORTED}: {errors[-1] if errors else text.strip()[-200:]}")
    if run.ended != "exited":
        raise Dropped(f"the test run was ended ({run.ended})")
    if not run.passed:
        why = " (all are skipped)" if all(t.skipped for t in run.outcomes.values()) else ""
        raise Dropped(f"none of its tests passes after the commit{why}")


def _split_of(sha: str) -> str:
    fraction = int.from_bytes(hashlib.sha256(sha.encode()).digest()[:8], "big") / 2**64
    return next(name for name, upto in _SPLITS if fraction < upto)


def _write_versions(tree: Path, declared: Declared) -> None:
    """Writes the modules that only a build of the project would write."""
    for name in declared.version_files:
        try:
            check_path(name)
        except ValueError:
            continue
        file = tree / name
        if PurePosixPath(name).suffix == ".py" and file.parent.is_dir() and not file.exists():
            file.write_text(_VERSION, "utf-8")


def _definitions(text: str) -> dict[str, str]:
    """{name: code} of a module's functions and classes; what else it runs has the name "".

    Imports do not count.
    """
    found = {"": ""}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = ast.dump(node)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            found[""] += ast.dump(node)
    return found

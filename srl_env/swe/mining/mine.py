"""The loop of mining: commits are read, tried in the sandbox, and written as tasks.

Every commit's outcome is a line of a journal, so that an interrupted run continues. A task's
repository is the code after its commit; the files of the commit's patch are as before it, and the
test files that the commit changed are hidden.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from srl_env.errors import BadData, BadOption, SandboxFailure
from srl_env.grading import grade, validate_controls
from srl_env.sandbox import Sandbox, Snapshot, open_sandbox
from srl_env.swe.builder.checkout import Checkout, warm_probes
from srl_env.swe.builder.expert import ExpertError, Repair, solve
from srl_env.swe.builder.journal import Journal
from srl_env.swe.builder.options import check_name
from srl_env.swe.builder.project import Project, Target, find_checkout, sources_of
from srl_env.swe.builder.reproduction import Reproduction, reproduce
from srl_env.swe.builder.source import Source
from srl_env.swe.builder.suite import SuiteRun, related_tests, run_suite
from srl_env.swe.mining.history import Commit, History
from srl_env.swe.mining.options import MineOptions
from srl_env.swe.mining.selection import (
    Patch,
    changed_sources,
    changed_tests,
    meaningful,
    unfit,
)
from srl_env.swe.mining.statement import Issues, described, write_statement
from srl_env.swe.task import SWETask
from srl_env.swe.task_folder import TaskSet, TaskWriter
from srl_env.swe.tools import Workbench
from srl_env.swe.workspace import open_workspace

FORMAT: Final = 2
MAX_TESTS_S: Final = 20.0
NOT_IMPORTED: Final = "its tests cannot be imported here"
_SPLITS: Final = (("train", 0.7), ("dev", 0.8), ("test", 1.0))
_FAILURE_LINES: Final = 8
_NO_ISSUES: Final[Issues] = {}


@dataclass(frozen=True, slots=True)
class MineProgress:
    """How far mining is: commits looked at, commits in all, tasks kept."""

    done: int
    total: int
    kept: int


@dataclass(frozen=True)
class MineReport:
    """A mining run in numbers.

    commits: how many were looked at. kept: tasks. dropped: commits by reason. seconds: of this run
    alone. outcomes: per commit, the task's id or why it was dropped.
    """

    name: str
    commits: int
    kept: int
    seconds: float
    dropped: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, str] = field(default_factory=dict)


class _Dropped(Exception):  # why a commit is no task; nobody's error
    pass


class _NotHere(_Dropped):  # why it is none on this machine
    pass


def mine_tasks(
    path: Path,
    out: Path,
    options: MineOptions = MineOptions(),  # noqa: B008  # frozen
    *,
    issues: Issues = _NO_ISSUES,
    sandbox: Sandbox | None = None,
    on_progress: Callable[[MineProgress], None] = lambda _: None,
) -> MineReport:
    """Makes tasks from the commits of a git repository, and writes them into a folder.

    path: the repository; it is only read. out: a new folder, or one with an unfinished run of the
    same, which is continued. issues: texts that commit messages may name as "#12".
    Raises BadOption with what to do, SandboxUnavailable, SandboxFailure. After any end, calling it
    again continues.
    """
    history = History(path)
    options = replace(options, name=options.name or path.resolve().name)
    return tasks_of_commits(
        history,
        history.commits(options.since),
        out,
        options,
        about={"since": options.since},
        issues=issues,
        sandbox=sandbox,
        on_progress=on_progress,
    )


def tasks_of_commits(
    history: History,
    commits: Sequence[Commit],
    out: Path,
    options: MineOptions,
    *,
    about: Mapping[str, Any],
    issues: Issues = _NO_ISSUES,
    sandbox: Sandbox | None = None,
    on_progress: Callable[[MineProgress], None] = lambda _: None,
) -> MineReport:
    """Makes tasks from some commits of a history, newest first; see ``mine_tasks``.

    about: what an unfinished run in ``out`` must agree with to be continued.
    """
    started, name = time.monotonic(), options.name or ""
    check_name(name)
    with ExitStack() as stack:
        used = sandbox or stack.enter_context(closing(open_sandbox(preload=warm_probes())))
        writer = TaskWriter(out)
        about = {"format": FORMAT, "name": name, **about}
        journal = Journal(out / ".mine" / f"{name}.jsonl", about)
        miner = _Miner(used, history, name, options, issues, writer, journal)
        outcomes = miner.run(commits, on_progress)
    kept = [found["task"] for found in outcomes.values() if "task" in found]
    dropped = Counter(found["dropped"] for found in outcomes.values() if "dropped" in found)
    report = MineReport(
        name=name,
        commits=len(outcomes),
        kept=len(kept),
        seconds=round(time.monotonic() - started, 1),
        dropped=dict(dropped.most_common()),
        outcomes={
            commit: found.get("task") or found["dropped"] for commit, found in outcomes.items()
        },
    )
    (out / f"mined-{name}.json").write_text(
        json.dumps(report.__dict__, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    return report


@dataclass
class _Miner:
    """One run of mining."""

    sandbox: Sandbox
    history: History
    name: str
    options: MineOptions
    issues: Issues
    writer: TaskWriter
    journal: Journal
    _seen: set[str] = field(default_factory=set)  # digests of patches

    def run(
        self, commits: Sequence[Commit], on_progress: Callable[[MineProgress], None]
    ) -> dict[str, dict[str, str]]:
        """{commit: {"task": id} or {"dropped": reason}}, in the order of the history."""
        outcomes: dict[str, dict[str, str]] = {}
        kept = 0
        pool = ThreadPoolExecutor(self.options.jobs or len(os.sched_getaffinity(0)))
        try:
            for part in _parts(commits, 16):
                patches = [self._patch(commit) for commit in part]
                results = pool.map(self._outcome, part, patches)
                for commit, found in zip(part, results, strict=True):
                    if kept == self.options.max_tasks:
                        return outcomes
                    if "task" in found:
                        self._keep(commit)
                        kept += 1
                    outcomes[commit.label] = found
                    on_progress(MineProgress(len(outcomes), len(commits), kept))
        finally:
            pool.shutdown(cancel_futures=True)
        return outcomes

    def _outcome(self, commit: Commit, patch: Patch | str) -> dict[str, str]:
        if isinstance(patch, str):
            return {"dropped": patch}

        def tried() -> dict[str, str]:
            try:
                return {"task": self._task(commit, patch)}
            except _NotHere:  # not kept: the missing package may be installed for the next run
                raise
            except _Dropped as dropped:
                shutil.rmtree(self.trial(commit), ignore_errors=True)
                return {"dropped": str(dropped)}

        try:
            return dict(self.journal.result("commit", commit.sha, tried))
        except _NotHere as missing:
            return {"dropped": str(missing)}

    def _task(self, commit: Commit, patch: Patch) -> str:
        """The id of the commit's task, which is written; raises _Dropped."""
        with tempfile.TemporaryDirectory(prefix="srl-mine-") as folder:
            tree = Path(folder, f"{self.name}-{commit.short}")
            self.history.export(commit.sha, tree)
            try:
                return _Trial(self, commit, patch, tree).made()
            except SandboxFailure:
                return _Trial(self, commit, patch, tree).made()

    def trial(self, commit: Commit) -> Path:
        """The folder of a commit's task until it is kept."""
        return self.journal.path.with_suffix("") / commit.short

    def _keep(self, commit: Commit) -> None:
        """Puts the task of a commit beside the others; in the order of the history."""
        if not (folder := self.trial(commit)).exists():  # an earlier run kept it
            return
        tasks = TaskSet(folder)
        (task,) = tasks
        self.writer.add_repository(task.repository, tasks.code(task))
        self.writer.put(task.repository.name, [task])
        shutil.rmtree(folder)

    def _patch(self, commit: Commit) -> Patch | str:
        """The commit's patch, or why it cannot become a task; asked for in order, each once."""
        if reason := unfit(commit):
            return reason
        paths = changed_sources(commit)
        patch = meaningful(
            {path: self.history.text(commit.parent, path) for path in paths},
            {path: self.history.text(commit.sha, path) for path in paths},
        )
        if isinstance(patch, Patch) and patch.digest in self._seen:
            return "the same change as another commit"
        if isinstance(patch, Patch):
            self._seen.add(patch.digest)
        return patch


class _Trial:
    """One commit, run in the sandbox."""

    def __init__(self, miner: _Miner, commit: Commit, patch: Patch, tree: Path) -> None:
        self._miner, self._sandbox = miner, miner.sandbox
        self._commit, self._patch, self._tree = commit, patch, tree

    def made(self) -> str:
        """The id of the task. Raises _Dropped, SandboxFailure."""
        checkout = self._checkout()
        right = self._run(checkout, {})
        _require_tests(right)
        faulty = self._run(checkout, self._patch.before)
        if faulty.ended == "timeout":
            raise _Dropped("the tests hang before the commit")
        if faulty.broken or any(test not in faulty.outcomes for test in right.passed):
            raise _Dropped("the tests cannot be imported before the commit: they need new names")
        changed = set(changed_tests(self._commit))
        failing = [t for t in right.outcomes if t in right.passed and t in faulty.failed]
        failing = [test for test in failing if test.partition("::")[0] in changed]
        passing = [t for t in right.outcomes if t in right.passed and t in faulty.passed]
        given = self._commit.given
        if given is not None:
            absent = [test for test in given.failing if test not in failing]
            if absent:
                raise _Dropped(
                    f"{len(absent)} of its {len(given.failing)} tests do not fail before the change"
                    " and pass after it here"
                )
            failing = [test for test in failing if test in given.failing]
            passing = [test for test in passing if test in (given.passing or passing)]
        failing, passing = self._stable(checkout, failing, passing)
        if not failing:
            raise _Dropped("no changed test fails before the commit and passes after it")
        shown = self._shown(checkout, right, faulty, failing)
        statement = self._statement(shown, faulty, failing)
        return self._written(checkout, failing, passing, shown, statement)

    def _checkout(self) -> Checkout:
        try:
            found = find_checkout(self._tree, self._miner.options.test_timeout_s)
        except BadOption as error:
            raise _Dropped(str(error).partition(": ")[2]) from None
        tests = changed_tests(self._commit)
        if self._commit.given is not None:
            related = self._commit.given.files
        else:
            related = frozenset(related_tests(found.test_files, tuple(self._patch.after)))
        chosen = tuple(f for f in found.test_files if f in tests or f in related)
        if not chosen:
            raise _Dropped("it changes no file with tests for pytest")
        return replace(found, test_files=chosen)

    def _run(self, checkout: Checkout, files: Mapping[str, str], **how: Any) -> SuiteRun:
        return run_suite(self._sandbox, checkout, files=files, **how)

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

    def _shown(
        self, checkout: Checkout, right: SuiteRun, faulty: SuiteRun, failing: Sequence[str]
    ) -> Reproduction | None:
        """A script, made from a failing test, that shows the fault."""
        project = Project(
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
        for path, function in self._functions():
            target = Target(path, function, tuple(failing))
            before = dict(self._patch.before)
            shown = reproduce(self._sandbox, project, target, before, (), faulty, before)
            if shown is not None:
                return shown
        return None

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
        self, shown: Reproduction | None, faulty: SuiteRun, failing: Sequence[str]
    ) -> str:
        if self._commit.given is not None:
            return self._commit.given.statement
        added = [line for _, _, new in self._patch.hunks for line in new]
        told = described(self._commit.message, self._miner.issues, added)
        text = faulty.outcomes[failing[0]].text
        failure = [line[1:].strip() for line in text.splitlines() if line.startswith("E")]
        if not told and shown is None:
            raise _Dropped("its message says too little, and no short script shows the fault")
        return write_statement(told, shown, "\n".join(failure[:_FAILURE_LINES]))

    def _written(
        self,
        checkout: Checkout,
        failing: Sequence[str],
        passing: Sequence[str],
        shown: Reproduction | None,
        statement: str,
    ) -> str:
        miner, commit = self._miner, self._commit
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
        shutil.rmtree(folder := miner.trial(commit), ignore_errors=True)
        trial = TaskWriter(folder)
        trial.add_repository(repository, self._tree)
        trial.put(repository.name, [task])
        tasks = TaskSet(folder)
        task = self._graded(tasks, self._controlled(tasks, task), shown, checkout)
        trial.put(repository.name, [task])
        return task.id

    def _controlled(self, tasks: TaskSet, task: SWETask) -> SWETask:
        """The task at trust "controlled", where controls can judge its tests."""
        stricter = replace(task, trust="controlled")
        judged = tasks.grading_task(stricter)
        complaints = validate_controls(self._sandbox, judged, tasks.gold_snapshot(task), rounds=2)
        return task if complaints else stricter

    def _graded(
        self, tasks: TaskSet, task: SWETask, shown: Reproduction | None, checkout: Checkout
    ) -> SWETask:
        """The task with the expert's steps, if grading agrees about all three workspaces."""
        visible = [file for file in checkout.test_files if file not in task.hidden]
        try:
            judged = tasks.grading_task(task)
            with open_workspace(self._sandbox, tasks.tree(task), task.repository) as session:
                repair = Repair(shown, self._patch.after)
                sources = sources_of(self._tree)
                before = {path: source.text for path, source in sources.items()}
                before |= self._patch.before
                steps = solve(Workbench(session), [repair], before, visible)
                left = session.snapshot()
        except (BadData, ExpertError, OSError) as error:
            raise _Dropped(f"the expert cannot finish: {error}") from None
        if not grade(self._sandbox, judged, tasks.gold_snapshot(task)).resolved:
            raise _Dropped("the code after the commit is not graded as resolved")
        if not grade(self._sandbox, judged, left).resolved:
            raise _Dropped("the expert's workspace is not graded as resolved")
        if grade(self._sandbox, judged, Snapshot((), ())).resolved:
            raise _Dropped("the code before the commit is graded as resolved")
        return replace(task, steps=steps)

    def _difficulty(self, failing: Sequence[str]) -> float:
        """In [0, 1], from files, hunks, lines and failing tests."""
        parts = (
            0.15 * len(self._patch.after),
            0.05 * len(self._patch.hunks),
            0.01 * self._patch.lines,
            0.02 * len(failing),
        )
        return min(1.0, sum(parts))


def _require_tests(run: SuiteRun) -> None:
    if run.ended == "timeout":
        raise _Dropped("the tests do not end in time")
    if run.broken and not run.passed:
        text = next(iter(run.broken.values()))
        errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
        raise _NotHere(f"{NOT_IMPORTED}: {errors[-1] if errors else text[:200]}")
    if run.ended != "exited":
        raise _Dropped(f"the test run was ended ({run.ended})")
    if not run.passed:
        raise _Dropped("none of its tests passes after the commit")


def _split_of(sha: str) -> str:
    fraction = int.from_bytes(hashlib.sha256(sha.encode()).digest()[:8], "big") / 2**64
    return next(name for name, upto in _SPLITS if fraction < upto)


def _parts(commits: Sequence[Commit], size: int) -> Iterator[Sequence[Commit]]:
    for start in range(0, len(commits), size):
        yield commits[start : start + size]

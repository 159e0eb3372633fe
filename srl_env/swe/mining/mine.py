"""The loop of mining: commits are read, tried in the sandbox, and written as tasks.

Every commit's outcome is a line of a journal, so that an interrupted run continues. A task's
repository is the code after its commit; the files of the commit's patch are as before it, and the
test files that the commit changed are hidden.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final

from srl_env.errors import BadOption, SandboxFailure
from srl_env.sandbox import Sandbox, open_sandbox
from srl_env.swe.builder.checkout import warm_probes
from srl_env.swe.builder.journal import Journal
from srl_env.swe.builder.options import check_name
from srl_env.swe.dependencies.declared import Declared
from srl_env.swe.dependencies.environment import Environment
from srl_env.swe.dependencies.install import (
    CannotInstall,
    make_environment,
    restore_environment,
)
from srl_env.swe.mining.history import Commit, History
from srl_env.swe.mining.options import MineOptions
from srl_env.swe.mining.selection import Patch, changed_sources, changed_tests, meaningful, unfit
from srl_env.swe.mining.statement import Issues
from srl_env.swe.mining.trial import Dropped, NotHere, OutOfTime, TooSlow, Trial, TrialContext
from srl_env.swe.task_folder import TaskSet, TaskWriter

FORMAT: Final = 4
QUICK_S: Final = 10.0
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
_NO_ISSUES: Final[Issues] = {}
_Pair = tuple[Commit, Patch | str]


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
    alone, and per_minute: commits that it looked at. outcomes: per commit, the task's id or why it
    was dropped.
    """

    name: str
    commits: int
    kept: int
    seconds: float
    per_minute: float = 0.0
    dropped: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, str] = field(default_factory=dict)


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
    options = replace(options, name=options.name or path.resolve().name.removesuffix(".git"))
    return tasks_of_commits(
        history,
        history.commits(options.since),
        out,
        options,
        about={"since": options.since, "install": options.install},
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
    about = {"format": FORMAT, "name": name, **about}
    try:
        with ExitStack() as stack:
            used = sandbox or stack.enter_context(closing(open_sandbox(preload=warm_probes())))
            writer = TaskWriter(out)
            journal = Journal(out / ".mine" / f"{name}.jsonl", about)
            miner = _Miner(used, history, name, options, issues, writer, journal)
            outcomes = miner.run(commits, on_progress)
        report = _report(miner, outcomes, time.monotonic() - started)
        (out / f"mined-{name}.json").write_text(
            json.dumps(report.__dict__, indent=1, ensure_ascii=False) + "\n", "utf-8"
        )
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise BadOption(
            f"{error.filename or f'{out} or {tempfile.gettempdir()}'} cannot be written: "
            f"{error.strerror}. Progress is saved. Fix: make space, or set TMPDIR, and repeat "
            "the command"
        ) from error
    return report


def _report(miner: _Miner, outcomes: Mapping[str, Mapping[str, str]], seconds: float) -> MineReport:
    dropped = Counter(found["dropped"] for found in outcomes.values() if "dropped" in found)
    return MineReport(
        name=miner.name,
        commits=len(outcomes),
        kept=sum("task" in found for found in outcomes.values()),
        seconds=round(seconds, 1),
        per_minute=round(60 * (len(outcomes) - miner.known) / seconds, 1),
        dropped=dict(dropped.most_common()),
        outcomes={
            commit: found.get("task") or found["dropped"] for commit, found in outcomes.items()
        },
    )


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
    known: int = 0  # commits whose outcome is from an earlier run
    _seen: set[str] = field(default_factory=set)  # digests of patches
    _failed: dict[str, str] = field(default_factory=dict)  # why an environment cannot be made
    _installing: Lock = field(default_factory=Lock)

    def run(
        self, commits: Sequence[Commit], on_progress: Callable[[MineProgress], None]
    ) -> dict[str, dict[str, str]]:
        """{commit: {"task": id} or {"dropped": reason}}, in the order of the history.

        Commits whose tests take longer than ``QUICK_S`` are tried after all others, and so are
        later commits that change tests in the same folders.
        """
        outcomes: dict[str, dict[str, str]] = {}
        kept, slow = 0, list[_Pair]()
        pool = ThreadPoolExecutor(jobs := self.options.jobs or len(os.sched_getaffinity(0)))
        most_s = self.options.test_timeout_s
        slow_folders = set[str]()

        def first_round() -> Iterator[_Pair]:
            for commit in commits:
                patch = self._patch(commit)
                if isinstance(patch, Patch) and _folders(commit) & slow_folders:
                    slow.append((commit, patch))
                else:
                    yield commit, patch

        rounds: list[tuple[Iterator[_Pair], float]] = [(first_round(), min(QUICK_S, most_s))]
        if most_s > QUICK_S:
            rounds.append((iter(slow), most_s))
        try:
            for pairs, limit_s in rounds:
                results = _in_order(pool, partial(self._outcome, limit_s), pairs, 2 * jobs)
                for (commit, patch), found in results:
                    if kept == self.options.max_tasks:
                        return _sorted(outcomes, commits)
                    if "slow" in found and limit_s < most_s:
                        slow.append((commit, patch))
                        slow_folders |= _folders(commit)
                        continue
                    if "task" in found:
                        self._keep(commit)
                        kept += 1
                    outcomes[commit.label] = found
                    on_progress(MineProgress(len(outcomes), len(commits), kept))
        finally:
            pool.shutdown(cancel_futures=True)
        return _sorted(outcomes, commits)

    def _outcome(self, limit_s: float, pair: _Pair) -> dict[str, str]:
        """A commit's outcome, from the journal if it is there."""
        commit, patch = pair
        if isinstance(patch, str):
            return {"dropped": patch}
        limits = f"{commit.sha} {limit_s:g} {self.options.commit_timeout_s:g}"
        for place in (("commit", commit.sha), ("slow", limits)):
            if (found := self.journal.get(*place)) is not None:
                self.known += "slow" not in found
                return dict(found)

        def tried() -> dict[str, str]:
            try:
                return {"task": self._task(commit, patch, limit_s)}
            except (
                NotHere,
                OutOfTime,
                TooSlow,
            ):  # not kept: the next run may have more packages or time
                raise
            except Dropped as dropped:
                shutil.rmtree(self.trial(commit), ignore_errors=True)
                return {"dropped": str(dropped)}

        try:
            return dict(self.journal.result("commit", commit.sha, tried))
        except NotHere as missing:
            return {"dropped": str(missing)}
        except (OutOfTime, TooSlow) as slow:
            reason = {"dropped": str(slow)} | ({"slow": "yes"} if type(slow) is TooSlow else {})
            return dict(self.journal.result("slow", limits, lambda: reason))

    def _task(self, commit: Commit, patch: Patch, limit_s: float) -> str:
        """The id of the commit's task, which is written; raises Dropped."""
        context = TrialContext(
            self.sandbox, self.history, self.options, self.issues, self._environment
        )
        with tempfile.TemporaryDirectory(prefix="srl-mine-") as folder:
            tree = Path(folder, f"{self.name}-{commit.short}")
            self.history.export(commit.sha, tree)
            trial = partial(Trial, context, commit, patch, tree, self.trial(commit), limit_s)
            try:
                return trial().made()
            except SandboxFailure:
                return trial().made()

    def _environment(self, declared: Declared) -> Environment | None:
        """The environment of what a commit declares; None if it needs no package."""
        if declared.refused:
            raise NotHere(f"it needs {declared.refused[0]}, which is no package of an index")
        if not declared.requirements and not declared.name:
            return None
        key = json.dumps([declared.requirements, declared.name])

        def made() -> dict[str, Any]:
            return make_environment(self.sandbox, declared.requirements, declared.name).to_json()

        with self._installing:
            if key in self._failed:
                raise NotHere(self._failed[key])
            try:
                found = Environment.from_json(self.journal.result("environment", key, made))
                restore_environment(self.sandbox, found)  # where an earlier run made it
            except CannotInstall as error:
                self._failed[key] = f"its packages cannot be installed: {error}"
                raise NotHere(self._failed[key]) from None
        return found

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
        done = folder.with_suffix(".kept")  # at once, for an interruption may come
        shutil.rmtree(done, ignore_errors=True)
        folder.rename(done)
        shutil.rmtree(done)

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


def _in_order(
    pool: ThreadPoolExecutor,
    function: Callable[[_Pair], dict[str, str]],
    pairs: Iterable[_Pair],
    ahead: int,
) -> Iterator[tuple[_Pair, dict[str, str]]]:
    """The pairs and their results, in order; `ahead` of them are worked on at most."""
    waiting = deque[tuple[_Pair, Future[dict[str, str]]]]()
    for pair in pairs:
        waiting.append((pair, pool.submit(function, pair)))
        if len(waiting) > ahead:
            given, future = waiting.popleft()
            yield given, future.result()
    for given, future in waiting:
        yield given, future.result()


def _folders(commit: Commit) -> set[str]:
    return {test.rpartition("/")[0] for test in changed_tests(commit)}


def _sorted(
    outcomes: Mapping[str, dict[str, str]], commits: Sequence[Commit]
) -> dict[str, dict[str, str]]:
    return {c.label: outcomes[c.label] for c in commits if c.label in outcomes}

"""Tasks made from a repository: the whole way, in parallel, and in a way that can be gone on with.

1. The repository is copied and inspected (``project.py``), its oracle cases are settled.
2. Bugs of one function each are tried in rounds (``plan.py``, ``make.py``). What is tried next
   hangs on what earlier rounds kept and on nothing else, so that neither the number of workers nor
   an interruption changes the end.
3. Bugs that were kept are put together, several to a task.
4. The tasks are written into the folder, all at once.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from srl_env.errors import BadOption, SandboxFailure
from srl_env.grading import GradingTask, OracleCase, validate_controls
from srl_env.sandbox import Sandbox, Snapshot, open_sandbox
from srl_env.seconds import check_seconds
from srl_env.swe.builder.assertions import assertion_cases
from srl_env.swe.builder.cases import asserted_cases, read_cases, recorded_cases, settle_cases
from srl_env.swe.builder.journal import Journal
from srl_env.swe.builder.plan import MAX_TRIES, Candidate, fill_splits, several_bugs, single_bugs
from srl_env.swe.builder.project import Project, copy_repository, inspect_project
from srl_env.swe.builder.report import BuildReport, count_tasks
from srl_env.swe.builder.suite import warm_probes
from srl_env.swe.builder.trial import Dropped, Probed, Workshop, make, probe
from srl_env.swe.task import Repository, SWETask
from srl_env.swe.task_folder import TaskSet, TaskWriter, code_files

FORMAT: Final = 1
ROUND: Final = 32
PER_FUNCTION: Final = 8
SAME_FAILING: Final = 2
SEVERAL_SHARE: Final = 0.25
USES_OF_A_BUG: Final = 3
_CONTROL_ROUNDS: Final = 6
_CONTROLS_S: Final = 15.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """Where a build is: what it does, the share that is done, tasks kept, candidates tried."""

    doing: str
    share: float
    kept: int = 0
    tried: int = 0


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What of a build can be chosen.

    max_tasks: how many tasks at most; None for as many as are worth having. max_bugs: most bugs
    in one task. seed: of every choice. jobs: sessions at a time; None for one a core.
    test_timeout_s: after which a run of all tests is given up.
    """

    max_tasks: int | None = None
    max_bugs: int = 2
    seed: int = 0
    jobs: int | None = None
    test_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        check_seconds("test_timeout_s", self.test_timeout_s, least=1)
        for name in ("max_tasks", "max_bugs", "jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadOption(f"{name}={value}; at least 1 is expected")


def build_tasks(
    path: Path,
    out: Path,
    *,
    name: str | None = None,
    options: BuildOptions = BuildOptions(),
    replace_tasks: bool = False,
    sandbox: Sandbox | None = None,
    on_progress: Callable[[BuildProgress], None] = lambda _: None,
) -> BuildReport:
    """Makes tasks from a Python project with passing tests, and writes them into a folder.

    path: a checkout, or an unpacked source distribution; it is only read. out: a new folder, one
    with an unfinished build of the same, which is gone on with, or one with tasks from other
    repositories. name: of the repository; that of its folder by default.
    replace_tasks: tasks from a repository of that name that are in `out` are replaced.
    Raises BadOption where no tasks can be made, with what to do; SandboxUnavailable,
    SandboxFailure. After KeyboardInterrupt or any other end, calling it again goes on.
    """
    started = time.monotonic()
    name = _checked_name(name or path.resolve().name)
    with _sandbox(sandbox) as used, tempfile.TemporaryDirectory(prefix="srl-build-") as folder:
        tree = Path(folder, name)
        copy_repository(path, tree)
        _check_folder(out, name, replace_tasks)
        build = _Build(used, options, tree, out, on_progress)
        build.prepare(path)
        tasks = build.run()
        TaskWriter(out).put(name, tasks)
    report = build.report(tasks, time.monotonic() - started)
    report.write(out / "report.json")
    build.journal.path.unlink()
    if not any(build.journal.path.parent.iterdir()):
        build.journal.path.parent.rmdir()
    return report


class _Build:
    """One build: what it knows, and what it has decided."""

    def __init__(
        self,
        sandbox: Sandbox,
        options: BuildOptions,
        tree: Path,
        out: Path,
        on_progress: Callable[[BuildProgress], None],
    ) -> None:
        self._sandbox, self._options, self._tree = sandbox, options, tree
        self._out, self._on_progress = out, on_progress
        self._jobs = options.jobs or len(os.sched_getaffinity(0))
        self._dropped: Counter[str] = Counter()
        self._tried = self._kept_count = 0
        self._total = 1
        self._controls = threading.Lock()

    # -- what a repository offers ------------------------------------------------------------

    def prepare(self, path: Path) -> None:
        """Inspects the repository, settles its cases, and puts its right code into the folder."""
        options, name = self._options, self._tree.name
        about = {
            "format": FORMAT,
            "name": name,
            "seed": options.seed,
            "max_bugs": options.max_bugs,
            "max_tasks": options.max_tasks,
            "code": _digest(self._tree, path),
        }
        self._tell("looking at the repository")
        self.project = inspect_project(
            self._tree,
            name,
            self._sandbox,
            timeout_s=options.test_timeout_s,
            tell=self._tell,
        )
        writer = TaskWriter(self._out)
        self.journal = Journal(self._out / ".build" / f"{name}.jsonl", about)
        self._tell("settling oracle cases")
        cases, examples = self._cases(path)
        self.repository = Repository(
            name=name,
            tests=self.project.tests,
            cases=cases,
            python_path=self.project.checkout.python_path,
            packages=self.project.checkout.distributions,
            conftest=self.project.checkout.conftest,
        )
        self.code = _code_of(path, self._tree, self._out)
        writer.add_repository(self.repository, self.code)
        tasks = TaskSet(self._out)
        self.shop = Workshop(
            self._sandbox,
            self.project,
            self.repository,
            tasks,
            options.seed,
            self._uncontrolled,
            examples,
        )

    def _cases(self, path: Path) -> tuple[tuple[OracleCase, ...], tuple[OracleCase, ...]]:
        """The oracle cases, and those that may be shown."""
        settle = partial(settle_cases, self._sandbox, self.project.checkout)
        examples, left_out = settle(recorded_cases(self.project.calls))
        if own := read_cases(path):
            cases, left_out = settle(own)
        else:
            asserted, more = settle(asserted_cases(assertion_cases(self.project)))
            cases, left_out = (*examples, *asserted), {**left_out, **more}
        self.cases_left_out = left_out
        return cases, examples

    def _uncontrolled(self) -> tuple[str, ...]:
        """The tests that controls cannot judge on the right code; tried out once in a build."""
        with self._controls:
            found = self.journal.get("uncontrolled", "")
            if found is None:
                found = self._try_controls()
                self.journal.put("uncontrolled", "", list(found))
        return tuple(found)

    def _try_controls(self) -> tuple[str, ...]:
        """All tests are uncontrolled where trying would take long."""
        project, checkout = self.project, self.project.checkout
        if project.suite_s > _CONTROLS_S:
            return project.tests
        left, gone = list(project.tests), dict[str, None]()
        for number in range(_CONTROL_ROUNDS):
            task = GradingTask(
                tree=checkout.tree,
                fail_to_pass=tuple(left),
                trust="controlled",
                python_path=checkout.python_path,
                mounts=checkout.mounts,
                conftest=checkout.conftest,
            )
            said = validate_controls(self._sandbox, task, Snapshot((), ()), rounds=1, seed=number)
            found = [test for test in left if any(line.startswith(f"{test} ") for line in said)]
            if said and not found:
                return project.tests
            gone |= dict.fromkeys(found)
            left = [test for test in left if test not in gone]
            if not left:
                break
        return tuple(gone)

    # -- rounds ------------------------------------------------------------------------------

    def run(self) -> list[SWETask]:
        """All tasks, in the order they were decided on."""
        quota = self._options.max_tasks
        several = 0
        if self._options.max_bugs > 1 and quota is not None:
            several = int(quota * SEVERAL_SHARE)
        self._total = self._count_candidates()
        singles = self._with_splits(self._singles(None if quota is None else quota - several))
        tasks = [task for _, task in singles]
        if self._options.max_bugs > 1:
            wanted = len(tasks) // 3 if quota is None else quota - len(tasks)
            tasks += self._several([candidate for candidate, _ in singles], wanted)
        if (uncontrolled := self.journal.get("uncontrolled", "")) is not None:
            self.repository = replace(self.repository, uncontrolled=tuple(uncontrolled))
            TaskWriter(self._out).add_repository(self.repository, self.code)
        return tasks

    def _singles(self, quota: int | None) -> list[tuple[Candidate, SWETask]]:
        """Tasks of one bug each."""
        kept: list[tuple[Candidate, SWETask]] = []
        per_function: Counter[str] = Counter()
        per_failing: Counter[tuple[str, tuple[str, ...]]] = Counter()
        codes: set[str] = set()
        queue = single_bugs(self.project, self._options.seed)
        while quota is None or len(kept) < quota:
            free = (c for c in queue if per_function[c.targets[0].id] < PER_FUNCTION)
            round_ = list(itertools.islice(free, ROUND))
            if not round_:
                break
            chosen: list[tuple[Candidate, Probed]] = []
            for candidate, found in zip(round_, self._each(self._probed, round_), strict=True):
                if isinstance(found, Dropped):
                    self._drop(found)
                elif found.digest in codes:
                    self._drop(Dropped("the same code as another"))
                else:
                    codes.add(found.digest)
                    chosen.append((candidate, found))
            chosen = [
                (c, found)
                for c, found in chosen
                if not self._too_alike(c, found, chosen, per_failing)
            ]
            while chosen and (quota is None or len(kept) < quota):
                room = len(chosen) if quota is None else quota - len(kept)
                now, chosen = chosen[:room], chosen[room:]
                made = self._each(self._made, [candidate for candidate, _ in now])
                for (candidate, found), result in zip(now, made, strict=True):
                    if isinstance(result, Dropped):
                        self._drop(result)
                    elif per_function[candidate.targets[0].id] < PER_FUNCTION:
                        kept.append((candidate, result))
                        per_function[candidate.targets[0].id] += 1
                        per_failing[candidate.targets[0].id, found.failing] += 1
                        self._kept_count += 1
            for _ in chosen:
                self._drop(Dropped("not needed: there are enough"))
        return kept

    def _with_splits(
        self, singles: Sequence[tuple[Candidate, SWETask]]
    ) -> list[tuple[Candidate, SWETask]]:
        """The same in splits of which none is empty, where that can be."""
        hashed = {candidate.targets[0].id: candidate.split for candidate, _ in singles}
        splits = fill_splits(self.project.name, hashed)
        return [
            (replace(candidate, split=split), replace(task, split=split))
            for candidate, task in singles
            for split in (splits[candidate.targets[0].id],)
        ]

    def _too_alike(
        self,
        candidate: Candidate,
        found: Probed,
        chosen: Sequence[tuple[Candidate, Probed]],
        kept: Counter[tuple[str, tuple[str, ...]]],
    ) -> bool:
        """Whether enough bugs of the same function fail the very same tests, here or before."""
        key = candidate.targets[0].id, found.failing
        before = sum(
            (c.targets[0].id, other.failing) == key
            for c, other in itertools.takewhile(lambda pair: pair[0] is not candidate, chosen)
        )
        alike = kept[key] + before >= SAME_FAILING
        if alike:
            self._drop(Dropped("like others: same function, same failing tests"))
        return alike

    def _several(self, singles: Sequence[Candidate], quota: int) -> list[SWETask]:
        """Tasks of several bugs each, made of those that were kept."""
        kept: list[SWETask] = []
        uses: Counter[str] = Counter()
        queue = several_bugs(self.project, singles, self._options.max_bugs, self._options.seed)
        while len(kept) < quota:
            round_ = list(itertools.islice(self._unused(queue, uses), min(ROUND, quota)))
            if not round_:
                break
            for result in self._each(self._made, round_[: quota - len(kept)]):
                if isinstance(result, Dropped):
                    self._drop(result)
                else:
                    kept.append(result)
                    self._kept_count += 1
        return kept

    def _unused(self, queue: Iterator[Candidate], uses: Counter[str]) -> Iterator[Candidate]:
        """Those whose bugs are not yet in many tasks."""
        for candidate in queue:
            if all(uses[bug.key] < USES_OF_A_BUG for bug in candidate.bugs):
                uses.update(bug.key for bug in candidate.bugs)
                yield candidate

    def _probed(self, candidate: Candidate) -> Probed | Dropped:
        found = self.journal.get("probe", candidate.key)
        if found is None:
            result = _twice(lambda: probe(self.shop, candidate))
            if isinstance(result, Dropped):
                found = {"dropped": result.reason}
            else:
                found = {"failing": list(result.failing), "digest": result.digest}
            self.journal.put("probe", candidate.key, found)
        if "dropped" in found:
            return Dropped(found["dropped"])
        return Probed(tuple(found["failing"]), found["digest"])

    def _made(self, candidate: Candidate) -> SWETask | Dropped:
        found = self.journal.get("make", candidate.key)
        if found is None:
            result = _twice(lambda: make(self.shop, candidate))
            if isinstance(result, Dropped):
                found = {"dropped": result.reason}
            else:
                found = {"task": result.to_row()}
            self.journal.put("make", candidate.key, found)
        if "dropped" in found:
            return Dropped(found["dropped"])
        return SWETask.from_row(found["task"], self.shop.repository)

    def _each(self, function: Callable[[Candidate], T], items: Sequence[Candidate]) -> list[T]:
        """The results for all items, in their order, some at a time."""
        pool = ThreadPoolExecutor(self._jobs, thread_name_prefix="build")
        try:
            results = []
            for result in pool.map(function, items):
                results.append(result)
                self._tried += function == self._probed
                self._tell("trying bugs" if function == self._probed else "making tasks")
            return results
        finally:
            pool.shutdown(cancel_futures=True)

    # -- telling -----------------------------------------------------------------------------

    def _drop(self, dropped: Dropped) -> None:
        self._dropped[dropped.reason] += 1

    def _count_candidates(self) -> int:
        """About how many candidates there are: what functions of this size usually give."""
        lines = (t.function.last - t.function.first + 1 for t in self.project.targets)
        return max(1, sum(min(MAX_TRIES, 3 * count) for count in lines))

    def _tell(self, doing: str) -> None:
        quota = self._options.max_tasks
        share = self._tried / self._total
        if quota is not None:
            share = max(share, self._kept_count / quota)
        self._on_progress(BuildProgress(doing, min(1.0, share), self._kept_count, self._tried))

    def report(self, tasks: Sequence[SWETask], seconds: float) -> BuildReport:
        """What came of it."""
        return BuildReport(
            name=self._tree.name,
            folder=str(self._out),
            tests=len(self.project.tests),
            functions=len(self.project.targets),
            cases=len(self.shop.repository.cases),
            tried=self._tried,
            kept=len(tasks),
            seconds=round(seconds, 1),
            dropped=dict(self._dropped.most_common()),
            left_out=dict(self.project.left_out),
            cases_left_out=self.cases_left_out,
            **count_tasks(tasks),
        )


@contextmanager
def _sandbox(given: Sandbox | None) -> Iterator[Sandbox]:
    """The sandbox that was given, or one that is closed afterwards."""
    if given is not None:
        yield given
        return
    sandbox = open_sandbox(preload=warm_probes())
    try:
        yield sandbox
    finally:
        sandbox.close()


def _twice(function: Callable[[], T]) -> T:
    """A result, tried again once where the sandbox failed."""
    try:
        return function()
    except SandboxFailure:
        return function()


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadOption(f"name {name!r}; letters, digits, '.', '_' and '-' are expected (--name)")
    return name


def _check_folder(out: Path, name: str, replace_tasks: bool) -> None:
    """Raises BadOption for a folder that holds something else, or such tasks already."""
    if not out.exists() or not any(out.iterdir()):
        return
    TaskWriter(out)
    if not replace_tasks and name in TaskSet(out).repositories:
        raise BadOption(
            f"{out} has tasks from a repository {name!r} already; choose another folder (--out) "
            "or name (--name), or have them replaced (--replace)"
        )


def _code_of(path: Path, copy: Path, out: Path) -> Path:
    """Where the right code is taken from: the copy, but what is in the folder stays as it is."""
    return path if path.resolve() == (out / "repos" / copy.name).resolve() else copy


def _digest(tree: Path, path: Path) -> str:
    """A digest of the code and the oracle cases."""
    digest = hashlib.sha256()
    for file in code_files(tree):
        digest.update(file.as_posix().encode("utf-8", "surrogateescape") + b"\0")
        digest.update(hashlib.sha256((tree / file).read_bytes()).digest())
    for draft in read_cases(path):
        digest.update(repr(draft).encode())
    return digest.hexdigest()[:16]


__all__ = ["BuildOptions", "BuildProgress", "BuildReport", "Project", "build_tasks"]

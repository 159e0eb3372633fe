"""Tasks made from a repository: in parallel, and resumable.

1. The repository is copied and inspected (``project.py``), and its oracle cases are answered.
2. Candidates of one bug each are tried in rounds (``coherent.py``, ``plan.py``, ``trial.py``).
   Each kind of bug has a quota (``quota.py``). What is tried next depends only on what earlier
   rounds kept, so that neither the number of workers nor an interruption changes the result.
3. Bugs that were kept are combined, several to a task.
4. The tasks are written into the folder, all at once.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from srl_env.errors import BadOption, SandboxFailure
from srl_env.grading import OracleCase, validate_controls
from srl_env.policy import Policy
from srl_env.sandbox import Sandbox, Snapshot, open_sandbox
from srl_env.swe.builder.assertions import assertion_cases
from srl_env.swe.builder.author.author import Author
from srl_env.swe.builder.cases import answered_cases, asserted_cases, read_cases, recorded_cases
from srl_env.swe.builder.checkout import warm_probes
from srl_env.swe.builder.coherent import FINDERS, coherent_bugs
from srl_env.swe.builder.journal import Journal, journal_path
from srl_env.swe.builder.options import BuildOptions
from srl_env.swe.builder.plan import (
    MAX_TRIES,
    Candidate,
    fill_splits,
    joined,
    several_bugs,
    single_bugs,
)
from srl_env.swe.builder.project import Project, copy_repository, inspect_project
from srl_env.swe.builder.quota import Quotas
from srl_env.swe.builder.report import SEVERAL, BuildReport, count_tasks
from srl_env.swe.builder.reproduction import Reproduction
from srl_env.swe.builder.statement import write_statement
from srl_env.swe.builder.trial import COMMON, Dropped, Trial, TrialContext, package_of
from srl_env.swe.task import SWETask
from srl_env.swe.task_folder import TaskSet, TaskWriter, code_digest

FORMAT: Final = 6
LEAST_TESTS: Final = 2
ROUND: Final = 32
PER_FUNCTION: Final = 8
SAME_FAILING: Final = 2
COHERENT_WEIGHT: Final = 4  # there are about a fifth as many kinds of coherent faults as of slips
SEVERAL_FRACTION: Final = 0.25
USES_OF_A_BUG: Final = 3
APART: Final = "its functions are in two splits"
TOLD: Final = "the same report as another"
_CONTROL_ROUNDS: Final = 6
_CONTROLS_S: Final = 15.0

Kept = list[tuple[Candidate, SWETask]]


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """What a build is doing, the fraction that is done, tasks kept, candidates tried."""

    doing: str
    fraction: float
    kept: int = 0
    tried: int = 0


def build_tasks(
    path: Path,
    out: Path,
    options: BuildOptions | None = None,
    *,
    policy: Policy | None = None,
    sandbox: Sandbox | None = None,
    on_progress: Callable[[BuildProgress], None] = lambda _: None,
) -> BuildReport:
    """Makes tasks from a Python project with passing tests, and writes them into a folder.

    path: a checkout or an unpacked source distribution; it is only read. out: a new folder, one
    with an unfinished build of the same, which is resumed, or one with tasks of other repositories.
    policy: writes all bugs, and the words of the statements; options.model is its name. Raises
    BadOption where no tasks can be made; SandboxUnavailable, SandboxFailure, and what the policy
    raises. After an interruption, the same call resumes. If the policy reaches a limit, the tasks
    so far are written, ``BuildReport.model["stopped"]`` names it, and the same call resumes too.
    """
    started = time.monotonic()
    options = options or BuildOptions()
    options = replace(options, name=options.name or path.resolve().name)
    name = str(options.name)
    with _sandbox(sandbox) as used, tempfile.TemporaryDirectory(prefix="srl-build-") as folder:
        tree = Path(folder, name)
        copy_repository(path, tree)
        read_cases(path)  # before anything runs
        _check_folder(out, name, options.replace)
        build = _Build(used, options, path, tree, out, on_progress, policy)
        tasks = build.run()
        TaskWriter(out).put(name, tasks)
    report = build.report(tasks, time.monotonic() - started)
    report.write(out / "report.json")
    if report.model.get("stopped"):
        return report
    build.journal.path.unlink()
    if not any(build.journal.path.parent.iterdir()):
        build.journal.path.parent.rmdir()
    return report


class _Build:
    """One build: its state and its decisions."""

    def __init__(
        self,
        sandbox: Sandbox,
        options: BuildOptions,
        path: Path,
        tree: Path,
        out: Path,
        on_progress: Callable[[BuildProgress], None],
        policy: Policy | None,
    ) -> None:
        self._sandbox, self._options, self._out = sandbox, options, out
        self._on_progress = on_progress
        self._controls = threading.Lock()
        self._dropped: Counter[str] = Counter()
        self._quotas: dict[str, int] = {}
        self._exhausted: set[str] = set()
        self._tried = self._kept = self._single = 0
        self._expected = 1
        self._codes: set[str] = set()
        self._shown: dict[str, tuple[str, tuple[Reproduction, ...]]] = {}
        self._split: dict[str, str] = {}  # of functions that have tasks
        self._told: set[tuple[str, str, str]] = set()  # examples of tasks
        self._by_function: Counter[tuple[str, ...]] = Counter()
        self._by_failing: Counter[tuple[tuple[str, ...], tuple[str, ...]]] = Counter()
        self._prepare(path, tree, policy)

    def _prepare(self, path: Path, tree: Path, policy: Policy | None) -> None:
        """Inspects the repository, answers its cases, and adds its correct code to the folder."""
        options, name = self._options, tree.name
        self._show("looking at the repository")
        self.project = inspect_project(
            tree, name, self._sandbox, timeout_s=options.test_timeout_s, on_step=self._show
        )
        _check_tests(self.project)
        lines = (target.function.lines for target in self.project.targets)
        self._expected = sum(min(MAX_TRIES, 3 * count) for count in lines)
        writer = TaskWriter(self._out)
        about = {"format": FORMAT, **options.about, "code": _digest(tree, path)}
        self.journal = Journal(journal_path(self._out, name), about)
        self._author = None if policy is None else Author(policy, self.journal, options)
        self._show("answering oracle cases")
        cases, examples = self._cases(path)
        repository = replace(self.project.checkout.repository, cases=cases)
        kept = self._out / "repos" / name  # what is in the folder stays as it is
        self._code = kept if path.resolve() == kept.resolve() else tree
        writer.add_repository(repository, self._code)
        self.context = TrialContext(
            self._sandbox,
            self.project,
            repository,
            TaskSet(self._out),
            options.seed,
            examples,
            self._uncontrolled,
        )

    def _cases(self, path: Path) -> tuple[tuple[OracleCase, ...], tuple[OracleCase, ...]]:
        """The oracle cases, and those that may be shown."""
        answered = partial(answered_cases, self._sandbox, self.project.checkout)
        examples, excluded = answered(recorded_cases(self.project.calls))
        if own := read_cases(path):
            cases, excluded = answered(own)
        else:
            asserted, more = answered(asserted_cases(assertion_cases(self.project)))
            cases, excluded = (*examples, *asserted), {**excluded, **more}
        self._excluded_cases = excluded
        return cases, examples

    def _uncontrolled(self) -> tuple[str, ...]:
        """The tests that controls cannot judge on the correct code; found once in a build."""
        with self._controls:
            return tuple(self.journal.result("uncontrolled", "", self._try_controls))

    def _try_controls(self) -> list[str]:
        """All tests are uncontrolled where trying would take long."""
        tests = list(self.project.tests)
        if self.project.suite_s > _CONTROLS_S:
            return tests
        left = tests
        for number in range(_CONTROL_ROUNDS):
            if not left:
                break
            task = self.project.checkout.grading_task(fail_to_pass=tuple(left), trust="controlled")
            said = validate_controls(self._sandbox, task, Snapshot((), ()), rounds=1, seed=number)
            found = {test for test in left if any(line.startswith(f"{test} ") for line in said)}
            if said and not found:
                return tests
            left = [test for test in left if test not in found]
        return [test for test in tests if test not in left]

    def run(self) -> list[SWETask]:
        """All tasks, in the order in which they were kept."""
        options, quota = self._options, self._options.max_tasks
        several = int(quota * SEVERAL_FRACTION) if quota and options.max_bugs > 1 else 0
        wanted = quota and quota - several
        singles = self._with_splits(self._collect(self._kinds(wanted), wanted))
        tasks = [task for _, task in singles]
        self._single = len(tasks)
        if options.max_bugs > 1:
            kept = [candidate for candidate, _ in singles]
            more = several_bugs(self.project, kept, options.max_bugs, options.seed)
            wanted = len(tasks) // 3 if quota is None else quota - len(tasks)
            tasks += [task for _, task in self._collect({SEVERAL: _rarely_used(more)}, wanted)]
        if self._author is not None:
            tasks = self._author.in_parallel(self._with_words, tasks)
        if self.journal.get("uncontrolled", "") is not None:
            repository = replace(self.context.repository, uncontrolled=self._uncontrolled())
            TaskWriter(self._out).add_repository(repository, self._code)
        return tasks

    def _kinds(self, wanted: int | None) -> dict[str, Iterator[Candidate]]:
        """The candidates of one fault, by kind."""
        seed = self._options.seed
        if self._author is not None:
            return self._author.candidates(
                self.project, self.context.examples, wanted, self._on_unusable
            )
        kinds = {**coherent_bugs(self.project, seed), **single_bugs(self.project, seed)}
        return {kind: iter(candidates) for kind, candidates in kinds.items() if candidates}

    def _collect(self, kinds: Mapping[str, Iterator[Candidate]], wanted: int | None) -> Kept:
        """The tasks of candidates, tried in rounds; every kind has its quota of those wanted."""
        trials = {kind: self._new_trials(candidates) for kind, candidates in kinds.items()}
        quotas = Quotas(trials, wanted, dict.fromkeys(FINDERS, COHERENT_WEIGHT))
        kept: Kept = []
        while taken := quotas.take(ROUND):
            found = self._results([trial for _, trial in taken])
            for (kind, trial), result in zip(taken, found, strict=True):
                candidate, row = trial.candidate, result.get("task")
                if row is None or self._is_common(candidate, tuple(row["fail_to_pass"])):
                    self._dropped[result.get("dropped", COMMON)] += 1
                    continue
                if (split := self._split_of(candidate)) is None:
                    self._dropped[APART] += 1
                    continue
                if kind != SEVERAL and self._is_told(result["shown"]):
                    self._dropped[TOLD] += 1
                    continue
                candidate = replace(candidate, split=split)
                self._split |= dict.fromkeys(candidate.changed, split)
                task = replace(SWETask.from_row(row, self.context.repository), split=split)
                shown = tuple(map(Reproduction.from_json, result["shown"]))
                self._shown[task.id] = (candidate.key, shown)
                kept.append((candidate, task))
                quotas.kept[kind] += 1
                self._by_function[candidate.functions] += 1
                self._by_failing[candidate.functions, task.fail_to_pass] += 1
                self._kept += 1
        if wanted is not None:
            self._quotas |= {kind: int(quotas.quota(kind)) for kind in kinds}
        self._exhausted |= quotas.exhausted
        return kept

    def _with_words(self, task: SWETask) -> SWETask:
        """The task, its statement in the words of the model."""
        assert self._author is not None
        (key, shown), package = self._shown[task.id], package_of(self.project)
        seed, words = self._options.seed, self._author.words
        return replace(task, statement=write_statement(package, shown, key, seed, words))

    def _on_unusable(self, reason: str) -> None:
        self._dropped[f"model: {reason}"] += 1

    def _new_trials(self, candidates: Iterator[Candidate]) -> Iterator[Trial]:
        """Trials of new code in functions that have few tasks."""
        for candidate in candidates:
            if self._by_function[candidate.functions] >= PER_FUNCTION:
                continue
            if self._split_of(candidate) is None:
                self._dropped[APART] += 1
                continue
            try:
                trial = Trial(self.context, candidate)
            except Dropped as dropped:
                self._dropped[str(dropped)] += 1
                continue
            if trial.digest in self._codes:
                self._dropped["the same code as another"] += 1
                continue
            self._codes.add(trial.digest)
            yield trial

    def _split_of(self, candidate: Candidate) -> str | None:
        """The split of the functions that have tasks; None if these are of two splits."""
        found = {self._split[name] for name in candidate.changed if name in self._split}
        return None if len(found) > 1 else (found or {candidate.split}).pop()

    def _is_told(self, shown: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the reports of other tasks show all this; else it is noted."""
        told = {(one["script"], one["actual"]["printed"], one["actual"]["error"]) for one in shown}
        if told <= self._told:
            return True
        self._told |= told
        return False

    def _is_common(self, candidate: Candidate, failing: tuple[str, ...]) -> bool:
        """Whether enough tasks of the same functions were kept, or fail exactly these tests."""
        functions = candidate.functions
        return (
            self._by_function[functions] >= PER_FUNCTION
            or self._by_failing[functions, failing] >= SAME_FAILING
        )

    def _results(self, trials: Sequence[Trial]) -> list[dict[str, Any]]:
        """The results of trials, in their order, some at a time."""
        jobs = self._options.jobs or len(os.sched_getaffinity(0))
        pool = ThreadPoolExecutor(jobs, thread_name_prefix="build")
        self._show("trying bugs")
        try:
            results = []
            for result in pool.map(self._result, trials):
                results.append(result)
                self._tried += 1
                self._show("trying bugs")
            return results
        finally:
            pool.shutdown(cancel_futures=True)

    def _result(self, trial: Trial) -> dict[str, Any]:
        """{"task": row, "shown": rows}, or {"dropped": reason}.

        A failure of the sandbox is retried once.
        """

        def compute(*, again: bool = True) -> dict[str, Any]:
            try:
                task, shown = trial.task(partial(self._is_common, trial.candidate))
                return {"task": task.to_row(), "shown": [asdict(one) for one in shown]}
            except Dropped as dropped:
                return {"dropped": str(dropped)}
            except SandboxFailure:
                if not again:
                    raise
                return compute(again=False)

        result: dict[str, Any] = self.journal.result("trial", trial.candidate.key, compute)
        return result

    def _with_splits(self, singles: Kept) -> Kept:
        """The tasks in splits of which none is empty, where that is possible."""
        groups = joined(candidate.changed for candidate, _ in singles)
        found = {groups[name]: self._split[name] for name in groups}
        splits = fill_splits(self.project.name, found)
        self._split = {name: splits[group] for name, group in groups.items()}
        return [
            (replace(candidate, split=split), replace(task, split=split))
            for candidate, task in singles
            for split in (splits[groups[candidate.changed[0]]],)
        ]

    def _show(self, doing: str) -> None:
        fraction = self._tried / self._expected
        if self._options.max_tasks:
            fraction = max(fraction, self._kept / self._options.max_tasks)
        self._on_progress(BuildProgress(doing, min(1.0, fraction), self._kept, self._tried))

    def report(self, tasks: Sequence[SWETask], seconds: float) -> BuildReport:
        """The build in numbers."""
        return BuildReport(
            name=self.project.name,
            tests=len(self.project.tests),
            functions=len(self.project.targets),
            cases=len(self.context.repository.cases),
            tried=self._tried,
            kept=len(tasks),
            seconds=round(seconds, 1),
            dropped=dict(self._dropped.most_common()),
            excluded_tests=dict(self.project.excluded),
            excluded_cases=self._excluded_cases,
            quotas=self._quotas,
            exhausted=sorted(self._exhausted),
            model={} if self._author is None else self._author.counts(self._single),
            **count_tasks(tasks),
        )


@contextmanager
def _sandbox(given: Sandbox | None) -> Iterator[Sandbox]:
    """The given sandbox, or one that is closed afterwards."""
    if given is not None:
        yield given
        return
    sandbox = open_sandbox(preload=warm_probes())
    try:
        yield sandbox
    finally:
        sandbox.close()


def _rarely_used(candidates: Iterator[Candidate]) -> Iterator[Candidate]:
    """Those candidates whose bugs are not yet in many others."""
    uses: Counter[str] = Counter()
    for candidate in candidates:
        keys = [bug.key for bug in candidate.bugs]
        if all(uses[key] < USES_OF_A_BUG for key in keys):
            uses.update(keys)
            yield candidate


def _check_folder(out: Path, name: str, replace_tasks: bool) -> None:
    """Raises BadOption for a folder that holds something else, or such tasks already."""
    if not out.exists() or not any(out.iterdir()):
        return
    TaskWriter(out)
    unfinished = journal_path(out, name).exists()
    if not (replace_tasks or unfinished) and name in TaskSet(out).repositories:
        raise BadOption(
            f"{out} already has tasks of a repository {name!r}. Fix: choose another folder (--out) "
            "or name (--name), or replace them (--replace)"
        )


def _check_tests(project: Project) -> None:
    """Raises BadOption where every failing test is more than half of them."""
    if len(project.tests) < LEAST_TESTS:
        excluded = list(project.excluded.items())[:10]
        names = "\n".join(f"  {test}: {why.splitlines()[-1]}" for test, why in excluded)
        raise BadOption(
            f"{project.name}: at least {LEAST_TESTS} tests must always pass, because at most half"
            f" of them may fail for a bug; got {len(project.tests)}. Fix: add tests, or those that"
            f" were excluded:\n{names or '  none'}"
        )


def _digest(tree: Path, path: Path) -> str:
    """A digest of the code and the oracle cases."""
    text = code_digest(tree) + "".join(map(repr, read_cases(path)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]

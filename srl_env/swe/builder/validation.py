"""Whether tasks are sound: the correct code always passes, the unchanged code never does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from srl_env.grading import grade, warm_judges
from srl_env.sandbox import Sandbox, Snapshot, open_sandbox
from srl_env.swe.builder.journal import Journal
from srl_env.swe.cache import cache_folder
from srl_env.swe.task_folder import TaskSet


@dataclass(frozen=True, slots=True)
class Validation:
    """How often a task was resolved by the correct code (gold), and by no change (empty).

    failed: a test or case that the correct code failed, or "".
    """

    task: str
    times: int
    gold: int
    empty: int
    failed: str = ""

    @property
    def sound(self) -> bool:
        """Whether the correct code passed every time, and the unchanged code never."""
        return self.gold == self.times and self.empty == 0


def progress_path(tasks: TaskSet, times: int) -> Path:
    """The file that keeps the results of an unfinished validation of a folder, in the cache."""
    folder = hashlib.sha256(os.fsencode(tasks.folder.resolve())).hexdigest()[:16]
    return cache_folder() / "validation" / f"{folder}-{times}.jsonl"


def validate_tasks(
    tasks: TaskSet,
    *,
    times: int = 20,
    jobs: int | None = None,
    sandbox: Sandbox | None = None,
    on_progress: Callable[[list[Validation], int], None] = lambda _, __: None,
    progress: Path | None = None,
) -> list[Validation]:
    """Grades every task `times` times with its correct code and as often with no change.

    jobs: tasks at a time; None for one per core. on_progress: called with the results so far, and
    how many there will be. progress: a file for the results; if it is there, the tasks in it are
    graded again only where they have changed since. It is deleted at the end.
    Raises SandboxUnavailable, SandboxFailure.
    """
    used = sandbox or open_sandbox(preload=warm_judges())
    journal = Journal(progress, {"times": times}) if progress else None
    pool = ThreadPoolExecutor(jobs or len(os.sched_getaffinity(0)))

    def result(name: str) -> Validation:
        if journal is None:
            return _validate(used, tasks, name, times)
        key = f"{name} {tasks.digest(name)}"
        row = journal.result("task", key, lambda: asdict(_validate(used, tasks, name, times)))
        return Validation(**row)

    try:
        found = []
        for one in pool.map(result, tasks.ids):
            found.append(one)
            on_progress(found, len(tasks))
    finally:
        pool.shutdown(cancel_futures=True)
        if sandbox is None:
            used.close()
    if progress:
        progress.unlink()
    return found


def _validate(sandbox: Sandbox, tasks: TaskSet, name: str, times: int) -> Validation:
    task = tasks.task(name)
    judged, correct, nothing = tasks.grading_task(task), tasks.gold_snapshot(task), Snapshot((), ())
    gold, failed = 0, ""
    for _ in range(times):
        grading = grade(sandbox, judged, correct)
        gold += grading.resolved
        outcomes = {**grading.cases, **grading.fail_to_pass, **grading.pass_to_pass}
        problems = [*(what for what, good in outcomes.items() if not good), *grading.tamper]
        failed = failed or next(iter(problems), "")
    empty = sum(grade(sandbox, judged, nothing).resolved for _ in range(times))
    return Validation(name, times, gold, empty, failed)

"""Whether finished tasks are sound: the right code always passes, the unchanged never does."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from srl_env.grading import grade, warm_judges
from srl_env.sandbox import Sandbox, Snapshot, open_sandbox
from srl_env.swe.task_folder import TaskSet


@dataclass(frozen=True, slots=True)
class Validation:
    """How often a task was graded as resolved: with the right code, and with no change at all.

    failed: a test or case that did not hold with the right code, or "".
    """

    task: str
    times: int
    gold: int
    empty: int
    failed: str = ""

    @property
    def sound(self) -> bool:
        """Whether the right code passed every time, and the unchanged one never."""
        return self.gold == self.times and self.empty == 0


def validate_tasks(
    tasks: TaskSet,
    *,
    times: int = 20,
    jobs: int | None = None,
    sandbox: Sandbox | None = None,
    on_progress: Callable[[int, int], None] = lambda _, __: None,
) -> list[Validation]:
    """Grades every task `times` times with its right code and as often with no change.

    jobs: tasks at a time; None for one a core. on_progress: is told (done, total).
    Raises SandboxUnavailable, SandboxFailure.
    """
    used = sandbox or open_sandbox(preload=warm_judges())
    pool = ThreadPoolExecutor(jobs or len(os.sched_getaffinity(0)))
    try:
        found = []
        for result in pool.map(lambda name: _validate(used, tasks, name, times), tasks.ids):
            found.append(result)
            on_progress(len(found), len(tasks))
        return found
    finally:
        pool.shutdown(cancel_futures=True)
        if sandbox is None:
            used.close()


def _validate(sandbox: Sandbox, tasks: TaskSet, name: str, times: int) -> Validation:
    task = tasks.task(name)
    judged, right = tasks.grading_task(task), tasks.gold_snapshot(task)
    gold, failed = 0, ""
    for _ in range(times):
        result = grade(sandbox, judged, right)
        gold += result.resolved
        held = {**result.cases, **result.fail_to_pass, **result.pass_to_pass}
        failed = failed or next((what for what, good in held.items() if not good), "")
        failed = failed or "".join(result.tamper[:1])
    nothing = Snapshot((), ())
    empty = sum(grade(sandbox, judged, nothing).resolved for _ in range(times))
    return Validation(name, times, gold, empty, failed)

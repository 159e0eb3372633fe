"""Several methods, several seeds, equal budgets: run what is missing, then compare.

    comparison = compare(load_compare_config("compare.toml"))

Each run has its own process and its own folder; ``jobs`` of them run at a time. A comparison that
was stopped, killed or given more seeds continues with what its folder holds.
``srl_agents.comparison.worker`` makes one run, ``srl_agents.evaluation.contrasts`` the statistics.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

from srl_agents.comparison.config import JOB, OUTCOME, CompareConfig, Job, plan, plan_form
from srl_agents.comparison.input_checks import check_bases, check_jobs
from srl_agents.evaluation.contrasts import BASE, Comparison, RunOutcome
from srl_agents.runs.files import write_json
from srl_agents.runs.lock import held
from srl_env.errors import BadOption

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Progress of one run. fraction: of the whole job, 0 … 1. note: for people.

    base: the base model, if there are several.
    """

    method: str
    seed: int
    phase: str
    fraction: float
    note: str = ""
    base: str = ""


OnProgress = Callable[[JobProgress], None]


def compare(config: CompareConfig, *, on_progress: OnProgress | None = None) -> Comparison:
    """The comparison that the configuration describes, also saved as ``results.json``.

    Finished runs are not repeated. A run that fails is listed with its error, and the others
    continue. on_progress: called from several threads.
    Raises what prevents all runs, before any is started. Raises BadOption if another process writes
    the folder, or if it holds a run with other settings; KeyboardInterrupt after Ctrl-C, with every
    run saved.
    """
    jobs = plan(config)
    check_bases(config.bases)
    forming = plan_form(config)
    if not any(_is_finished(job) for job in jobs):
        check_jobs(forming or jobs)
    out = Path(config.out)
    with held(out):
        for job in jobs:
            _prepare(job)
        scheduler = _Scheduler(config.jobs, on_progress or (lambda progress: None))
        errors = scheduler.run(forming)
        for job in forming:
            if job.folder in errors:
                raise BadOption(
                    f"{job.folder} must have a model from which all methods start; it failed:"
                    f" {errors[job.folder]}"
                )
        errors |= scheduler.run(jobs)
        outcomes = _with_base_point([_outcome(job, errors.get(job.folder)) for job in jobs])
        comparison = Comparison(config.model_dump(mode="json"), tuple(outcomes))
        comparison.save(out)
    return comparison


def _is_finished(job: Job) -> bool:
    """Whether the folder has the outcome of this very job."""
    file = job.folder / JOB
    if not file.exists() or not (job.folder / OUTCOME).exists():
        return False
    return bool(json.loads(file.read_text(encoding="utf-8")) == job.to_json())


def _prepare(job: Job) -> None:
    """Makes the job's folder, or checks that it holds this very job.

    If only the evaluation has changed, the old one is removed and the training kept.
    """
    file, tree = job.folder / JOB, job.to_json()
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else tree
    for part in ("run", "curve"):
        if before[part] != tree[part]:
            changed = [key for key in tree[part] if before[part].get(key) != tree[part][key]]
            raise BadOption(
                f"{job.folder} holds a run with other settings ({part}: {', '.join(changed)})."
                " Fix: choose another out, or delete that folder"
            )
    if before != tree:
        (job.folder / OUTCOME).unlink(missing_ok=True)
        shutil.rmtree(job.folder / "evaluation", ignore_errors=True)
    write_json(file, tree)


def _outcome(job: Job, error: str | None) -> RunOutcome:
    file = job.folder / OUTCOME
    if error is None and file.exists():
        return RunOutcome.from_json(json.loads(file.read_text(encoding="utf-8")))
    return RunOutcome(job.method, job.seed, str(job.folder), error=error, base=job.base)


def _with_base_point(outcomes: list[RunOutcome]) -> list[RunOutcome]:
    """The outcomes; every curve starts with the base model's point, at 0 seconds."""
    start = {o.base: o.curve for o in outcomes if o.method == BASE}
    return [
        o if o.method == BASE else replace(o, curve=(*start.get(o.base, ()), *o.curve))
        for o in outcomes
    ]


class _Scheduler:
    """Runs jobs in processes, ``count`` of them at a time.

    Each process has its own session, so that Ctrl-C at the terminal reaches only this one, which
    then closes the processes' input. The system closes it too if this process is killed.
    """

    def __init__(self, count: int, on_progress: OnProgress) -> None:
        self._count, self._on_progress = count, on_progress
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(self, jobs: Sequence[Job]) -> dict[Path, str]:
        """{folder: error} of the jobs that failed, after all unfinished ones have run."""
        missing = [job for job in jobs if not (job.folder / OUTCOME).exists()]
        for job in jobs:
            self._report(job, *(("waiting", 0.0) if job in missing else ("finished", 1.0)))
        with ThreadPoolExecutor(self._count, thread_name_prefix="srl-env-compare") as pool:
            results = [pool.submit(self._run, job) for job in missing]
            try:
                errors = [result.result() for result in results]
            except KeyboardInterrupt:
                self._stop(pool)
                raise
        found = zip(missing, errors, strict=True)
        return {job.folder: error for job, error in found if error is not None}

    def _run(self, job: Job) -> str | None:
        """Runs a job; returns its error, or None."""
        if self._stopped:
            return "interrupted"
        log = job.folder / "worker.log"
        with self._started(job, log) as process:
            self._running.add(process)
            if self._stopped:
                _close_input(process)
            error: str | None = None
            for line in cast(IO[str], process.stdout):
                said = json.loads(line)
                error = said.get("error")
                if error is None:
                    self._report(job, said["phase"], said["fraction"], said["note"])
            code = process.wait()
            self._running.discard(process)
        if self._stopped:
            return "interrupted"
        if code and error is None:
            error = f"its process died with exit code {code}; {_last_line(log)}"
        self._report(job, "failed" if error else "finished", 1.0)
        return error

    def _started(self, job: Job, log: Path) -> subprocess.Popen[str]:
        with log.open("a", encoding="utf-8") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "srl_agents.comparison.worker", str(job.folder.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                encoding="utf-8",
                env=os.environ | (_ONE_THREAD if self._count > 1 else {}),
                start_new_session=True,
            )

    def _stop(self, pool: ThreadPoolExecutor) -> None:
        """Lets every process save and end; a second Ctrl-C ends them at once."""
        self._stopped = True
        pool.shutdown(wait=False, cancel_futures=True)
        try:
            for process in list(self._running):
                _close_input(process)
            pool.shutdown()
        except KeyboardInterrupt:
            for process in list(self._running):
                process.kill()
            raise

    def _report(self, job: Job, phase: str, fraction: float, note: str = "") -> None:
        self._on_progress(JobProgress(job.method, job.seed, phase, fraction, note, job.base))


def _close_input(process: subprocess.Popen[str]) -> None:
    cast(IO[str], process.stdin).close()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{log} ends: {lines[-1]}" if lines else f"{log} is empty"

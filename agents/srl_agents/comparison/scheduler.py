"""Several methods, several seeds, equal budgets: run what is missing, then compare.

    comparison = compare(load_compare_config("compare.toml"))

A comparison is a list of jobs: processes that make a run, or a part of it that takes at most
``job_minutes``. ``jobs`` of them run at a time. A finished run leaves a row, and runs with a row
are skipped. So a comparison that was stopped, killed or given more seeds continues with what its
folders hold. ``srl_agents.comparison.worker`` is one job, ``srl_agents.comparison.state`` what is
saved, and ``srl_agents.evaluation.contrasts`` the statistics.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from srl_agents.comparison.config import FORM, INTERRUPTED, CompareConfig, Job, plan
from srl_agents.comparison.input_checks import check_bases, check_jobs
from srl_agents.comparison.state import (
    check_same,
    is_finished,
    made_comparison,
    prepare,
    saved_rows,
)
from srl_agents.evaluation.contrasts import BASE, Comparison
from srl_agents.runs.lock import held

ATTEMPTS = 3
"""A run of which this many jobs in a row fail is left out, and the others continue."""

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

    Runs with a row are not repeated. A run whose jobs fail is listed with its error, and the others
    continue. on_progress: called from several threads.
    Raises what prevents all runs, before any is started. Raises BadOption if another process writes
    the folder, if it or the rows hold a run with other settings, or if rows of one model began with
    different weights; KeyboardInterrupt after Ctrl-C, with every run saved.
    """
    jobs = plan(config)
    check_bases(config.bases)
    rows = saved_rows(config.rows_folder)
    missing = [job for job in jobs if not is_finished(job, rows)]
    for job in missing:
        check_same(job, rows)
    forming = _needed_forms(jobs, missing)
    if len(missing) == len(jobs):
        check_jobs(forming or jobs)
    out = Path(config.out)
    with held(out):
        scheduler = _Scheduler(config, on_progress or (lambda progress: None))
        scheduler.announce(jobs, missing)
        errors = scheduler.run(forming)
        failed = {job.base: errors[job.folder] for job in forming if job.folder in errors}
        waiting = [job for job in missing if _starts_from_form(config, job) and job.base in failed]
        errors |= {job.folder: f"it starts from {FORM}: {failed[job.base]}" for job in waiting}
        errors |= scheduler.run([job for job in missing if job not in (*forming, *waiting)])
        comparison = made_comparison(config, jobs, saved_rows(config.rows_folder), errors)
        with suppress(OSError):  # a full disk, which must not hide what is missing
            comparison.save(out)
    return comparison


def _needed_forms(jobs: Sequence[Job], missing: Sequence[Job]) -> list[Job]:
    """The runs of the method "form" without a row, or without the model that others wait for."""
    bases = {job.base for job in missing if job.method not in (BASE, FORM)}
    forms = [job for job in jobs if job.method == FORM]
    return [f for f in forms if f in missing or (f.base in bases and not f.model.exists())]


def _starts_from_form(config: CompareConfig, job: Job) -> bool:
    return config.form is not None and job.method not in (BASE, FORM)


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a job ended. final: whether another one would end the same way."""

    error: str | None = None
    final: bool = False
    finished: bool = False
    fraction: float = 0.0


class _Scheduler:
    """Runs jobs in processes, ``config.jobs`` of them at a time.

    Each process has its own session, so that Ctrl-C at the terminal reaches only this one, which
    then closes the processes' input. The system closes it too if this process is killed.
    """

    def __init__(self, config: CompareConfig, on_progress: OnProgress) -> None:
        self._config, self._on_progress = config, on_progress
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def announce(self, jobs: Sequence[Job], missing: Sequence[Job]) -> None:
        """Reports which runs are finished, and which wait."""
        for job in jobs:
            self._report(job, *(("waiting", 0.0) if job in missing else ("finished", 1.0)))

    def run(self, jobs: Sequence[Job]) -> dict[Path, str]:
        """{folder: error} of the runs that failed, after all of these have ended."""
        with ThreadPoolExecutor(self._config.jobs, thread_name_prefix="srl-env-compare") as pool:
            results = [pool.submit(self._run, job) for job in jobs]
            try:
                errors = [result.result() for result in results]
            except KeyboardInterrupt:
                self._stop(pool)
                raise
        found = zip(jobs, errors, strict=True)
        return {job.folder: error for job, error in found if error is not None}

    def _run(self, job: Job) -> str | None:
        """Runs jobs until the run is finished; returns its error, or None."""
        failures, fraction = 0, -1.0
        while not self._stopped:
            try:
                prepare(job)
                ended = self._job(job)
            except OSError as found:
                ended = _Ended(f"{type(found).__name__}: {found}")
            if ended.finished:
                self._report(job, "finished", 1.0)
                return None
            if self._stopped:
                break
            failures = failures + 1 if ended.fraction <= fraction or ended.error else 0
            fraction = max(fraction, ended.fraction)
            if ended.final or failures == ATTEMPTS:
                self._report(job, "failed", 1.0)
                error = ended.error or f"no progress in job_minutes = {self._config.job_minutes}"
                return error if ended.final else f"failed {failures} times, last: {error}"
        return "interrupted"

    def _job(self, job: Job) -> _Ended:
        """Runs one job."""
        log, said, fraction = job.folder / "worker.log", dict[str, Any](), 0.0
        with self._started(job, log) as process:
            self._running.add(process)
            if self._stopped:
                _close_input(process)
            for line in cast(IO[str], process.stdout):
                said = json.loads(line)
                if "error" not in said:
                    fraction = said["fraction"]
                    self._report(job, said["phase"], fraction, said["note"])
            code = process.wait()
            self._running.discard(process)
        if "error" in said:
            return _Ended(said["error"], said["final"], fraction=fraction)
        if code in (0, INTERRUPTED):
            return _Ended(finished=code == 0, fraction=fraction)
        return _Ended(f"its process died with exit code {code}; {_last_line(log)}")

    def _started(self, job: Job, log: Path) -> subprocess.Popen[str]:
        minutes, rows = self._config.job_minutes, self._config.rows_folder
        arguments = [job.folder.resolve(), rows.resolve(), *([60 * minutes] if minutes else [])]
        with log.open("a", encoding="utf-8") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "srl_agents.comparison.worker", *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                encoding="utf-8",
                env=os.environ | (_ONE_THREAD if self._config.jobs > 1 else {}),
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

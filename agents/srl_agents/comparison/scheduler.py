"""Several methods, several seeds, equal budgets: run what is missing, then compare.

    comparison = compare(load_compare_config("compare.toml"))

Runs go through worker processes, ``jobs`` of them at a time, each on one thread. Every run has
its own folder, and a comparison that was stopped, killed or given more seeds goes on from what
is there. What one run does is in ``srl_agents.comparison.worker``; what the comparison says, in
``srl_agents.evaluation.contrasts``.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from srl_agents.comparison.config import CompareConfig, Job, plan
from srl_agents.comparison.inputs import check_bases, check_jobs
from srl_agents.evaluation.contrasts import BASE, Comparison, RunOutcome
from srl_agents.runs.lock import held
from srl_env.errors import BadOption

JOB, OUTCOME = "job.json", "outcome.json"


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Where one run of a comparison is. share: of the whole job, 0 … 1; note: for people.

    base: the model it began from, where there are several.
    """

    method: str
    seed: int
    phase: str
    share: float
    note: str = ""
    base: str = ""


OnProgress = Callable[[JobProgress], None]


def compare(config: CompareConfig, *, on_progress: OnProgress | None = None) -> Comparison:
    """The comparison that the configuration describes, also saved as ``results.json``.

    Runs that are finished are not made again. A run that fails is listed with its error, and the
    others go on. on_progress: called from several threads.
    Raises what keeps all runs from being made, before any is started; BadOption where another
    process writes the folder, or where it holds a run with other settings; KeyboardInterrupt after
    Ctrl-C, with every run saved.
    """
    jobs = plan(config)
    check_bases(config.bases)
    if not any(_is_settled(job) for job in jobs):
        check_jobs(jobs)
    with held(Path(config.out)):
        return _compare(config, jobs, on_progress or (lambda progress: None))


def _compare(config: CompareConfig, jobs: Sequence[Job], tell: OnProgress) -> Comparison:
    for job in jobs:
        _prepare(job)
    missing = [job for job in jobs if not (job.folder / OUTCOME).exists()]
    for job in jobs:
        state = ("waiting", 0.0) if job in missing else ("finished", 1.0)
        tell(JobProgress(job.method, job.seed, *state, base=job.base))
    errors = _run_all(missing, config.jobs, Path(config.out), tell)
    outcomes = _joined([_outcome(job, errors.get(job.folder)) for job in jobs])
    comparison = Comparison(config.model_dump(mode="json"), tuple(outcomes))
    comparison.save(Path(config.out))
    return comparison


def _is_settled(job: Job) -> bool:
    """Whether this very job has its outcome."""
    file = job.folder / JOB
    if not file.exists() or not (job.folder / OUTCOME).exists():
        return False
    return bool(json.loads(file.read_text(encoding="utf-8")) == job.to_json())


def _prepare(job: Job) -> None:
    """Makes the job's folder, or checks that what it holds is part of this very job.

    A changed evaluation alone throws the old one away and keeps the training.
    """
    file, tree = job.folder / JOB, job.to_json()
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else tree
    for part in ("run", "curve"):
        if before[part] != tree[part]:
            changed = [key for key in tree[part] if before[part].get(key) != tree[part][key]]
            raise BadOption(
                f"{job.folder} holds a run with other settings ({part}: {', '.join(changed)});"
                " choose another out, or delete that folder"
            )
    if before != tree:
        (job.folder / OUTCOME).unlink(missing_ok=True)
        shutil.rmtree(job.folder / "evaluation", ignore_errors=True)
    job.folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


def _outcome(job: Job, error: str | None) -> RunOutcome:
    file = job.folder / OUTCOME
    if error is None and file.exists():
        return RunOutcome.from_json(json.loads(file.read_text(encoding="utf-8")))
    return RunOutcome(job.method, job.seed, str(job.folder), error=error, base=job.base)


def _joined(outcomes: list[RunOutcome]) -> list[RunOutcome]:
    """Every curve begins with the base model's point, at 0 seconds."""
    start = {o.base: o.curve for o in outcomes if o.method == BASE}
    return [
        o if o.method == BASE else replace(o, curve=(*start.get(o.base, ()), *o.curve))
        for o in outcomes
    ]


def _run_all(jobs: Sequence[Job], count: int, out: Path, tell: OnProgress) -> dict[Path, str]:
    """{folder: error} of the jobs that failed, once all have been run by ``count`` workers."""
    errors: dict[Path, str] = {}
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    single = count > 1
    workers = [_Worker(out / f"worker-{i}.log", single) for i in range(min(count, len(jobs)))]
    threads = [threading.Thread(target=_feed, args=(w, waiting, errors, tell)) for w in workers]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        _stop(workers, threads, waiting)
        raise
    return errors


def _feed(
    worker: _Worker,
    waiting: queue.SimpleQueue[Job],
    errors: dict[Path, str],
    tell: OnProgress,
) -> None:
    """Gives a worker one job after the other until none is left."""
    try:
        while True:
            job = waiting.get_nowait()
            error = worker.run(job, tell)
            if error is not None:
                errors[job.folder] = error
            if not worker.closed:
                state = "failed" if error else "finished"
                tell(JobProgress(job.method, job.seed, state, 1.0, base=job.base))
    except queue.Empty:
        worker.finish()


def _stop(
    workers: Sequence[_Worker], threads: Sequence[threading.Thread], waiting: queue.SimpleQueue[Job]
) -> None:
    """Lets every worker save and end; a second Ctrl-C ends them at once."""
    while not waiting.empty():
        waiting.get_nowait()
    try:
        for worker in workers:
            worker.close()
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        for worker in workers:
            worker.kill()
        raise


class _Worker:
    """A process that runs jobs, started when first needed and anew when it has died.

    It is in a session of its own, so that Ctrl-C at the terminal reaches the parent only, which
    then closes the workers' input; that also happens when the parent is killed.
    """

    def __init__(self, log: Path, single_threaded: bool) -> None:
        self.log, self.single_threaded = log, single_threaded
        self.process: subprocess.Popen[str] | None = None
        self.closed = False

    def run(self, job: Job, tell: OnProgress) -> str | None:
        """Runs a job; its error, or None where all went well."""
        process = self._running()
        assert process.stdout is not None, "it was started with a pipe"
        try:
            _send(process.stdin, f"{job.folder.resolve()}\n")
            for line in process.stdout:
                said: dict[str, Any] = json.loads(line)
                if "phase" not in said:
                    return said.get("error")
                tell(JobProgress(job.method, job.seed, **said, base=job.base))
        except OSError:
            pass  # it died before it could be told
        if self.closed:
            return "interrupted"
        self._bury(process)
        return f"its process died with exit code {process.returncode}; {self._last_words()}"

    def close(self) -> None:
        """Ends the process after what it is doing has been saved; returns at once."""
        self.closed = True
        if self.process is not None:
            _close(self.process.stdin)

    def finish(self) -> None:
        """Ends the process and waits for it."""
        self.close()
        if self.process is not None:
            self._bury(self.process)

    def kill(self) -> None:
        """Ends the process now."""
        if self.process is not None:
            self.process.kill()

    def _bury(self, process: subprocess.Popen[str]) -> None:
        """Waits for the end of a process that is about to end."""
        process.wait()
        for pipe in (process.stdin, process.stdout):
            _close(pipe)
        self.process = None

    def _running(self) -> subprocess.Popen[str]:
        if self.process is None:
            with self.log.open("a", encoding="utf-8") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "srl_agents.comparison.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    encoding="utf-8",
                    env=os.environ | (_ONE_THREAD if self.single_threaded else {}),
                    start_new_session=True,
                )
        return self.process

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"{self.log} ends: {lines[-1]}" if lines else f"{self.log} is empty"


def _send(pipe: IO[str] | None, text: str) -> None:
    assert pipe is not None, "it was started with a pipe"
    pipe.write(text)
    pipe.flush()


def _close(pipe: IO[str] | None) -> None:
    with suppress(BrokenPipeError):  # what the dead were not told is lost
        if pipe is not None:
            pipe.close()


_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

"""One job of a comparison: a process that trains and evaluates a run, or a part of it.

``python -m srl_agents.comparison.worker FOLDER ROWS [SECONDS]`` is the process that
``srl_agents.comparison.scheduler`` starts. It reports progress on standard output, one JSON object
a line. When its standard input ends, or its seconds are used up, it saves its progress and stops,
and the next one continues. The last one writes the run's row.

A run's folder holds ``job.json``, ``jobs.json``, ``run/`` (the training run), ``curve.json``,
``training.json`` (after the training), and ``evaluation/``. Finished parts are not repeated. With
the row, the run's checkpoints are deleted.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from srl_agents.comparison.config import INTERRUPTED, JOB, Job
from srl_agents.comparison.input_checks import check_splits
from srl_agents.comparison.provenance import Provenance, commit, note, noted, processor
from srl_agents.evaluation.contrasts import CurvePoint, RunOutcome, TrainingPoint
from srl_agents.evaluation.episodes import EPISODES, EpisodeLog
from srl_agents.evaluation.evaluator import evaluate
from srl_agents.evaluation.plan import split_maker
from srl_agents.evaluation.rows import check_weights, read_rows, write_row
from srl_agents.models.folder import weights_digest
from srl_agents.policies import TransformersPolicy
from srl_agents.runs.evaluation import EvaluationConfig
from srl_agents.runs.files import write_json
from srl_agents.runs.lock import held
from srl_agents.training.log import read_log
from srl_agents.training.progress import Progress
from srl_agents.training.run import train
from srl_env.errors import SrlEnvError, UserError
from srl_env.rollout import AnyPolicy

TRAINING_POINTS = 200
"""A run's updates are averaged into at most this many points for the figures."""

Report = Callable[[str, float, str], None]
"""Called with the phase, the finished fraction of the run, and a note."""

_TRAINING_FRACTION = 0.9
_WAIT_S = 60.0


def run_job(folder: Path, rows: Path, report: Report, seconds: float = math.inf) -> RunOutcome:
    """The outcome of the run in a folder, also written as its row.

    Raises KeyboardInterrupt if it was stopped, or after so many seconds, with its progress saved;
    BadOption if another process runs it, or if rows began with other weights of its model.
    """
    deadline = time.monotonic() + seconds
    with held(folder, _WAIT_S):  # the worker of a killed comparison saves first
        job = Job.from_json(_read(folder / JOB), folder)
        check_splits(job)
        note(folder, _provenance(job, rows))
        outcome = replace(_run(job, report, deadline), **noted(folder), settings=job.to_json())
        write_row(outcome, rows)
        shutil.rmtree(Path(job.run.out) / "checkpoints", ignore_errors=True)
        return outcome


def _provenance(job: Job, rows: Path) -> Provenance:
    made = Provenance(commit(), weights_digest(job.run.model.path), processor(job.run.model.device))
    others = [row for row in read_rows(rows) if row.folder != job.folder.name]
    check_weights([*others, replace(_outcome(job), weights=made.weights)])
    return made


def _run(job: Job, report: Report, deadline: float) -> RunOutcome:
    curve = Curve(job)
    outcome = _trained(job, curve, report, deadline) if job.train else _outcome(job)
    with _interrupted_at(deadline):
        policy = _load(job, str(job.model) if job.train else job.run.model.path)
        report("evaluating", _TRAINING_FRACTION, "")
        if job.curve.every_s is not None:
            curve.add(policy, outcome.seconds, outcome.updates)
            outcome = replace(outcome, curve=tuple(curve.points))
        return _evaluated(job, outcome, policy, report)


def _trained(job: Job, curve: Curve, report: Report, deadline: float) -> RunOutcome:
    """The outcome after training, without scores."""
    done, run = job.folder / "training.json", Path(job.run.out)
    began, slowest = time.monotonic(), 0.0

    def on_progress(progress: Progress) -> None:
        nonlocal began, slowest
        curve.update(progress)
        note = f"{progress.stage}, update {progress.update}"
        if curve.points:
            note += f", {100 * curve.points[-1].success:.0f} % correct"
        report("training", _TRAINING_FRACTION * progress.fraction, note)
        now = time.monotonic()
        slowest, began = max(slowest, now - began), now
        if now + slowest > deadline:  # the next update may be too long
            os.kill(os.getpid(), signal.SIGINT)

    if not (done.exists() and job.model.exists()):
        resume = (run / "config.json").exists()
        result = train(job.run, resume=resume, on_progress=on_progress)
        if not result.finished:
            raise KeyboardInterrupt
        outcome = replace(
            _outcome(job),
            **asdict(result.usage),
            warnings=result.warnings,
            training=tuple(training_points(run / "metrics.jsonl")),
        )
        write_json(done, outcome.to_json())
    return RunOutcome.from_json(_read(done))


def _outcome(job: Job) -> RunOutcome:
    model = job.run.model.path
    return RunOutcome(job.method, job.seed, str(job.folder), base=job.base, model=model)


@contextmanager
def _interrupted_at(deadline: float) -> Iterator[None]:
    """Interrupts the block, as Ctrl-C does, if it is not over at that time."""
    if deadline == math.inf:
        yield
        return
    timer = threading.Timer(
        max(0.0, deadline - time.monotonic()), os.kill, (os.getpid(), signal.SIGINT)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Curve:
    """The small evaluations during training, also saved as ``curve.json``."""

    def __init__(self, job: Job) -> None:
        self._job, self._file = job, job.folder / "curve.json"
        saved = _read(self._file) if self._file.exists() else []
        self.points = TypeAdapter(list[CurvePoint]).validate_python(saved)

    def update(self, progress: Progress) -> None:
        """Adds a point if one is due. Points beyond the update of a resumed run are dropped."""
        every, seconds = self._job.curve.every_s, progress.usage.seconds
        if every is None:
            return
        self._drop_from(progress.update)
        if seconds // every > (self.points[-1].seconds if self.points else 0.0) // every:
            self.add(progress.policy, seconds, progress.update)
            write_json(self._file, [asdict(point) for point in self.points])

    def add(self, policy: AnyPolicy, seconds: float, update: int) -> None:
        """Evaluates the policy for one more point."""
        self._drop_from(update)
        settings = self._job.curve.evaluation(self._job.evaluation)
        (env,) = self._job.run.environments.values()
        result = evaluate(policy, split_maker(env.id, env.options, settings.split), settings)
        success = result.estimates()["pass@1"].value if "pass@1" in result.scores else 0.0
        self.points.append(CurvePoint(seconds, update, success))

    def _drop_from(self, update: int) -> None:
        self.points = [point for point in self.points if point.update < update]


def _load(job: Job, model: str) -> TransformersPolicy:
    settings = job.run.model
    return TransformersPolicy.from_pretrained(
        model,
        device=None if settings.device == "auto" else settings.device,
        dtype=settings.dtype,
        autocast=settings.autocast,
    )


def _evaluated(job: Job, outcome: RunOutcome, policy: AnyPolicy, report: Report) -> RunOutcome:
    """The outcome with the scores on the test problems, and elsewhere."""
    (env,) = job.run.environments.values()  # checked by the configuration
    asked: list[tuple[str, str, dict[str, Any], EvaluationConfig]] = [
        ("", env.id, env.options, job.evaluation),
        *((name, each.id, each.options, each) for name, each in job.transfer.items()),
    ]
    results = {}
    for number, (name, env_id, options, settings) in enumerate(asked):

        def on_progress(done: int, total: int, number: int = number, name: str = name) -> None:
            part = (number + done / total) / len(asked)
            fraction = _TRAINING_FRACTION + (1 - _TRAINING_FRACTION) * part
            report("evaluating", fraction, f"{name} {done} of {total} episodes".strip())

        folder = job.folder / "-".join(["evaluation", *filter(None, [name])])
        results[name] = evaluate(
            policy,
            split_maker(env_id, options, settings.split),
            settings,
            name=job.method,
            episodes=EpisodeLog(folder / EPISODES),
            on_progress=on_progress,
        )
    return replace(outcome, result=results.pop(""), transfer=results)


def training_points(path: Path) -> list[TrainingPoint]:
    """The updates in a run's ``metrics.jsonl``, neighbours averaged to at most 200 points."""
    rows = [row for row in read_log(path) if "event" not in row]
    size = -(-len(rows) // TRAINING_POINTS)
    return [_point(rows[begin : begin + size]) for begin in range(0, len(rows), size or 1)]


def _point(rows: list[dict[str, Any]]) -> TrainingPoint:
    last = rows[-1]
    return TrainingPoint(
        seconds=last["seconds"],
        update=last["update"],
        stage=last["stage"],
        reward=_average(rows, "reward"),
        informative_fraction=_average(rows, "groups/informative_fraction"),
    )


def _average(rows: list[dict[str, Any]], name: str) -> float | None:
    values = [float(row[name]) for row in rows if row.get(name) is not None]
    return sum(values) / len(values) if values else None


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    """Runs the job in the folder of the command line. Errors that are bugs keep their traceback."""
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)  # other output goes to the log

    def report(phase: str, fraction: float, note: str) -> None:
        said = {"phase": phase, "fraction": fraction, "note": note}
        print(json.dumps(said), file=reports, flush=True)

    def failed(error: Exception, final: bool) -> None:
        said = {"error": f"{type(error).__name__}: {error}", "final": final}
        print(json.dumps(said), file=reports, flush=True)

    folder, rows, *seconds = sys.argv[1:]
    try:
        threading.Thread(target=_interrupt_at_end_of_input, daemon=True).start()
        run_job(Path(folder), Path(rows), report, *map(float, seconds))
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(INTERRUPTED)
    except (SrlEnvError, OSError) as error:
        failed(error, final=isinstance(error, UserError))


def _interrupt_at_end_of_input() -> None:
    """Interrupts this process when the parent closes the pipe or is gone."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()

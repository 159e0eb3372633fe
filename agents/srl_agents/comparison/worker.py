"""One run of a comparison: train, evaluate on the way and at the end, write it down.

``python -m srl_agents.comparison.worker`` is the process that ``srl_agents.comparison.scheduler``
starts: it reads job folders from standard input, one a line, and tells how it fares on standard
output, one JSON object a line. When its input ends it saves what it is doing and stops.

A job's folder holds ``job.json``, ``run/`` (the training run), ``curve.json``, ``training.json``
(once the training is over), ``evaluation/`` and ``outcome.json`` (once everything is). Whatever
is there already is not done again.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from srl_agents.comparison.config import Job
from srl_agents.comparison.inputs import check_splits
from srl_agents.evaluation.contrasts import CurvePoint, RunOutcome, TrainingPoint
from srl_agents.evaluation.episodes import EpisodeFile
from srl_agents.evaluation.evaluator import evaluate
from srl_agents.evaluation.plan import split_maker
from srl_agents.evaluation.scoring import EvalResult
from srl_agents.policies import TransformersPolicy
from srl_agents.runs.lock import held
from srl_agents.training.log import read_log
from srl_agents.training.progress import Progress
from srl_agents.training.run import train
from srl_env.errors import SrlEnvError
from srl_env.rollout import AnyPolicy

JOB, OUTCOME = "job.json", "outcome.json"
TRAINING_POINTS = 200
"""A run's updates are averaged into at most so many points for the figures."""

Tell = Callable[[str, float, str], None]
"""Called with the phase, the share of the job that is done, and a note."""

_TRAINING_SHARE = 0.9
_WAIT_S = 60.0


def run_job(folder: Path, tell: Tell) -> RunOutcome:
    """The outcome of the job in a folder, made or read.

    Raises KeyboardInterrupt where it was stopped, with everything saved, and BadOption where
    another process runs it.
    """
    with held(folder, _WAIT_S):  # the worker of a comparison that was killed saves and ends
        return _run_job(folder, tell)


def _run_job(folder: Path, tell: Tell) -> RunOutcome:
    if (folder / OUTCOME).exists():
        return RunOutcome.from_json(_read(folder / OUTCOME))
    job = Job.from_json(_read(folder / JOB), folder)
    check_splits(job)
    outcome = RunOutcome(job.method, job.seed, str(folder), base=job.base)
    model = job.run.model.path
    if job.train:
        outcome, model = _trained(job, outcome, tell)
    policy = _load(job, model)
    tell("evaluating", _TRAINING_SHARE, "")
    if job.curve.every_s is not None:
        last = _curve_point(job, policy, outcome.seconds, outcome.updates)
        before = (point for point in _read_curve(job) if point.update < last.update)
        outcome = replace(outcome, curve=(*before, last))
    result = _evaluated(job, policy, tell)
    outcome = replace(outcome, result=result)
    _write(folder / OUTCOME, outcome.to_json())
    return outcome


def _trained(job: Job, outcome: RunOutcome, tell: Tell) -> tuple[RunOutcome, str]:
    """The outcome with what training spent, and the trained model's folder."""
    done, run = job.folder / "training.json", Path(job.run.out)
    if not done.exists():
        curve = _Curve(job)
        result = train(
            job.run,
            resume=(run / "config.json").exists(),
            on_progress=lambda progress: _on_progress(progress, curve, tell),
        )
        if not result.finished:
            raise KeyboardInterrupt
        _write(done, {**asdict(result.usage), "warnings": result.warnings})
    spent = _read(done)
    spent["warnings"] = tuple(spent.get("warnings", ()))
    training = training_points(run / "metrics.jsonl")
    return replace(outcome, **spent, training=tuple(training)), str(run / "model")


def _on_progress(progress: Progress, curve: _Curve, tell: Tell) -> None:
    curve.look(progress)
    note = f"{progress.stage}, update {progress.update}"
    if curve.points:
        note += f", {100 * curve.points[-1].success:.0f} % right"
    tell("training", _TRAINING_SHARE * progress.share, note)


class _Curve:
    """Evaluates the policy each time so many seconds of training have passed."""

    def __init__(self, job: Job) -> None:
        self.job, self.points = job, _read_curve(job)

    def look(self, progress: Progress) -> None:
        """Adds a point if one is due; forgets those that a resumed run is yet to come to."""
        every = self.job.curve.every_s
        if every is None:
            return
        self.points = [point for point in self.points if point.update < progress.update]
        last = self.points[-1].seconds if self.points else 0.0
        if progress.usage.seconds // every > last // every:
            point = _curve_point(self.job, progress.policy, progress.usage.seconds, progress.update)
            self.points.append(point)
            _write(self.job.folder / "curve.json", [asdict(p) for p in self.points])


def _read_curve(job: Job) -> list[CurvePoint]:
    path = job.folder / "curve.json"
    return [CurvePoint(**point) for point in _read(path)] if path.exists() else []


def _curve_point(job: Job, policy: AnyPolicy, seconds: float, update: int) -> CurvePoint:
    maker = split_maker(job.run.env.id, job.run.env.options, job.curve.split)
    result = evaluate(policy, maker, job.curve_evaluation)
    success = result.estimates()["pass@1"].value if "pass@1" in result.scores else 0.0
    return CurvePoint(seconds, update, success)


def _load(job: Job, model: str) -> TransformersPolicy:
    settings = job.run.model
    return TransformersPolicy.from_pretrained(
        model,
        device=None if settings.device == "auto" else settings.device,
        dtype=settings.dtype,
        autocast=settings.autocast,
    )


def _evaluated(job: Job, policy: AnyPolicy, tell: Tell) -> EvalResult:
    def on_progress(done: int, total: int) -> None:
        share = _TRAINING_SHARE + (1 - _TRAINING_SHARE) * done / total
        tell("evaluating", share, f"{done} of {total} episodes")

    return evaluate(
        policy,
        split_maker(job.run.env.id, job.run.env.options, job.evaluation.split),
        job.evaluation,
        name=job.method,
        episodes=EpisodeFile(job.folder / "evaluation" / "episodes.jsonl"),
        on_progress=on_progress,
    )


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


def _write(path: Path, data: Any) -> None:
    """Writes the file whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(data) + "\n", encoding="utf-8")
    draft.rename(path)


# The worker process


def main() -> None:
    """Serves jobs until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)  # whatever else is printed goes to the log
    jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(jobs, busy), daemon=True).start()
    try:
        while (folder := jobs.get()) is not None:
            busy.set()
            _serve(Path(folder), lambda **said: print(json.dumps(said), file=answers, flush=True))
            busy.clear()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)


def _serve(folder: Path, answer: Callable[..., None]) -> None:
    """Runs one job; its last answer says how it ended. Mistakes of the library go through."""

    def tell(phase: str, share: float, note: str) -> None:
        answer(phase=phase, share=share, note=note)

    try:
        run_job(folder, tell)
    except SrlEnvError as error:
        answer(error=f"{type(error).__name__}: {error}")
    else:
        answer(done=True)


def _listen(jobs: queue.SimpleQueue[str | None], busy: threading.Event) -> None:
    """Passes lines on; at their end, or when the parent is gone, interrupts what is running."""
    for line in sys.stdin:
        jobs.put(line.rstrip("\n"))
    jobs.put(None)
    if busy.is_set():
        os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()

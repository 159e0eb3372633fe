"""One run of a comparison: train, evaluate during training and at the end, save the outcome.

``python -m srl_agents.comparison.worker FOLDER`` is the process that
``srl_agents.comparison.scheduler`` starts for each run. It reports progress on standard output, one
JSON object a line. When its standard input ends, it saves its progress and stops.

A run's folder holds ``job.json``, ``run/`` (the training run), ``curve.json``, ``training.json``
(after the training), ``evaluation/`` and ``outcome.json`` (at the end). Finished parts are not
repeated.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from srl_agents.comparison.config import JOB, OUTCOME, Job
from srl_agents.comparison.input_checks import check_splits
from srl_agents.evaluation.contrasts import CurvePoint, RunOutcome, TrainingPoint
from srl_agents.evaluation.episodes import EpisodeFile
from srl_agents.evaluation.evaluator import evaluate
from srl_agents.evaluation.plan import split_maker
from srl_agents.evaluation.scoring import EvalResult
from srl_agents.policies import TransformersPolicy
from srl_agents.runs.evaluation import EvaluationConfig
from srl_agents.runs.files import write_json
from srl_agents.runs.lock import held
from srl_agents.training.log import read_log
from srl_agents.training.progress import Progress
from srl_agents.training.run import train
from srl_env.errors import SrlEnvError
from srl_env.rollout import AnyPolicy

TRAINING_POINTS = 200
"""A run's updates are averaged into at most this many points for the figures."""

Report = Callable[[str, float, str], None]
"""Called with the phase, the finished fraction of the job, and a note."""

_TRAINING_FRACTION = 0.9
_WAIT_S = 60.0


def run_job(folder: Path, report: Report) -> RunOutcome:
    """The outcome of the job in a folder, made or read.

    Raises KeyboardInterrupt if it was stopped, with its progress saved, and BadOption if another
    process runs it.
    """
    with held(folder, _WAIT_S):  # the worker of a killed comparison saves first
        if (folder / OUTCOME).exists():
            return RunOutcome.from_json(_read(folder / OUTCOME))
        outcome = _run(Job.from_json(_read(folder / JOB), folder), report)
        write_json(folder / OUTCOME, outcome.to_json())
        return outcome


def _run(job: Job, report: Report) -> RunOutcome:
    check_splits(job)
    curve = Curve(job)
    outcome = _trained(job, curve, report) if job.train else _outcome(job)
    policy = _load(job, f"{job.run.out}/model" if job.train else job.run.model.path)
    report("evaluating", _TRAINING_FRACTION, "")
    if job.curve.every_s is not None:
        curve.add(policy, outcome.seconds, outcome.updates)
        outcome = replace(outcome, curve=tuple(curve.points))
    return replace(outcome, result=_evaluated(job, policy, report))


def _trained(job: Job, curve: Curve, report: Report) -> RunOutcome:
    """The outcome after training, without scores."""
    done, run = job.folder / "training.json", Path(job.run.out)

    def on_progress(progress: Progress) -> None:
        curve.update(progress)
        note = f"{progress.stage}, update {progress.update}"
        if curve.points:
            note += f", {100 * curve.points[-1].success:.0f} % correct"
        report("training", _TRAINING_FRACTION * progress.fraction, note)

    if not done.exists():
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
    return RunOutcome(job.method, job.seed, str(job.folder), base=job.base)


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
        result = _evaluate(self._job, policy, self._job.curve.evaluation(self._job.evaluation))
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


def _evaluated(job: Job, policy: AnyPolicy, report: Report) -> EvalResult:
    def on_progress(done: int, total: int) -> None:
        fraction = _TRAINING_FRACTION + (1 - _TRAINING_FRACTION) * done / total
        report("evaluating", fraction, f"{done} of {total} episodes")

    file = EpisodeFile(job.folder / "evaluation" / "episodes.jsonl")
    return _evaluate(job, policy, job.evaluation, episodes=file, on_progress=on_progress)


def _evaluate(
    job: Job, policy: AnyPolicy, settings: EvaluationConfig, **options: Any
) -> EvalResult:
    (env,) = job.run.environments.values()  # checked by the configuration
    make_env = split_maker(env.id, env.options, settings.split)
    return evaluate(policy, make_env, settings, name=job.method, **options)


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

    try:
        threading.Thread(target=_interrupt_at_end_of_input, daemon=True).start()
        run_job(Path(sys.argv[1]), report)
    except SrlEnvError as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=reports, flush=True)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)


def _interrupt_at_end_of_input() -> None:
    """Interrupts this process when the parent closes the pipe or is gone."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()

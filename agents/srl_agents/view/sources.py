"""The runs in a folder: trainings, comparisons, evaluations, or a file of rollouts.

    runs = find_runs([Path("runs/first"), Path("runs/compare")])

This module reads only the small files (configuration, metrics, results). ``srl_agents.view.index``
reads the rollouts.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from srl_agents.evaluation.contrasts import BASE, RESULTS, Comparison, CurvePoint, Row, RunOutcome
from srl_agents.evaluation.episodes import EPISODES
from srl_agents.evaluation.results import RESULT, read_result
from srl_agents.evaluation.rows import ROWS, read_row, row_path
from srl_agents.evaluation.scoring import EvalResult
from srl_agents.evaluation.statistics import Estimate
from srl_agents.runs.episode_rows import ROLLOUTS, EpisodeRows
from srl_agents.view.curves import Axis, Band, Series, band, series, stage_changes
from srl_agents.view.lines import read_lines, read_object, unfinished
from srl_env.data.files.streams import Paths
from srl_env.errors import BadOption

Phase = Literal["training", "evaluation"]
Update = Mapping[str, Any]
"""One line of ``metrics.jsonl``, or the part of one that a comparison keeps."""

_EXPECTED = (
    "Fix: give the folder of a run (srl-env train), a comparison (srl-env compare) or an evaluation"
    " (srl-env eval), or a file of a log (.jsonl, .parquet)"
)

_SHOWN = (None, "stage_end", "evaluation")
"""The kinds of lines of ``metrics.jsonl`` that have their own place; others are notes."""

_VARYING = ("out", "seed", "log", "checkpoint")
"""Settings in which the seeds of one method may differ."""


@dataclass(frozen=True)
class ViewedRun:
    """One run, ready to be shown.

    method, seed: what it is compared as. An evaluation's method is its policy; runs of one method
    with different settings get the name of the first such run too. updates: of its training,
    without events; events: (update, stage, reason) of stages that ended; other events, such as
    warnings, are notes. curve: evaluations during training. rollouts: logs of episodes with their
    phase. options: the environment's. tokenizer: a file that turns ids into text, if there is one.
    notes: for the reader. base: the model it started from, if a comparison has several.
    """

    name: str
    folder: Path
    method: str
    seed: int
    env: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    updates: tuple[Update, ...] = ()
    events: tuple[tuple[int, str, str], ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    result: EvalResult | None = None
    rollouts: tuple[tuple[Phase, Path], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Path | None = None
    notes: tuple[str, ...] = ()
    base: str = ""

    @cached_property
    def scores(self) -> Mapping[str, Estimate]:
        """The scores of the result, with 95 % intervals."""
        return self.result.estimates() if self.result else {}

    @property
    def empty(self) -> bool:
        """Whether it has nothing to show."""
        return not (self.updates or self.scores or any(_has_episodes(p) for _, p in self.rollouts))

    @property
    def last(self) -> Update:
        """The last update; {} without one."""
        return self.updates[-1] if self.updates else {}


def find_runs(paths: Paths) -> list[ViewedRun]:
    """The runs in a folder or file, or in several, in order, with unique names.

    Raises BadOption for a path that is not a run, is empty, or cannot be read; BadData for a
    damaged file.
    """
    runs: list[ViewedRun] = []
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        try:
            found = _runs_in(Path(path))
        except PermissionError as error:
            raise BadOption(f"{error.filename} cannot be read: {error.strerror}") from error
        if all(run.empty for run in found):
            raise BadOption(
                f"{path} is empty: no update, no score and no rollout. Fix: try again after the"
                " run's first update"
            )
        runs += found
    return _with_own_methods(_with_own_names(runs))


def run_series(run: ViewedRun, name: str, axis: Axis) -> Series | None:
    """One number of a run along an axis; None if it has none.

    "dev" is the fraction of correct answers in the evaluations during training.
    """
    if name != "dev":
        return series(run.updates, name, axis)
    if run.method == BASE:
        return None
    tokens = {u["update"]: u.get("tokens") for u in run.updates} | {0: 0}
    points = [asdict(p) | {"tokens": tokens.get(p.update), "dev": p.success} for p in run.curve]
    found = series(points, "dev", axis)
    return replace(found, noisy=False) if found and len(found.x) > 1 else None


def methods_of(runs: Sequence[ViewedRun]) -> list[str]:
    """The methods of the runs, in order."""
    return list(dict.fromkeys(run.method for run in runs))


def method_curves(runs: Sequence[ViewedRun], name: str, axis: Axis) -> dict[str, Band]:
    """The curve of each method that has one, with its changes of stage."""
    found: dict[str, Band] = {}
    for method in methods_of(runs):
        of = [run for run in runs if run.method == method]
        known = [one for run in of if (one := run_series(run, name, axis)) is not None]
        if known:
            found[method] = band(known, stage_changes([run.updates for run in of], axis))
    return found


def score_rows(runs: Sequence[ViewedRun]) -> list[Row]:
    """The scores of each method over its seeds; of each run if the problems differ.

    Empty if no run was evaluated.
    """
    scored = [(run, run.result) for run in runs if run.result is not None]
    if len({result.problem_ids for _, result in scored}) == 1:
        outcomes = (
            RunOutcome(
                run.method, run.seed, str(run.folder), result=result, base=run.base, **_usage(run)
            )
            for run, result in scored
        )
        return Comparison({}, tuple(outcomes)).rows
    return [
        Row(
            run.name,
            (run.seed,),
            dict(run.scores),
            failures=sum(result.failures.values()),
            problems=len(result.problem_ids),
            **_usage(run),
        )
        for run, result in scored
    ]


def _usage(run: ViewedRun) -> dict[str, Any]:
    return {"seconds": run.last.get("seconds") or 0.0, "updates": run.last.get("update", 0)}


def _runs_in(path: Path) -> list[ViewedRun]:
    if path.is_file():
        return [_file(path)]
    if not path.is_dir():
        raise BadOption(f"{path} does not exist. {_EXPECTED}")
    os.listdir(path)  # raises for an unreadable folder; glob and is_file would not
    if (path / RESULTS).is_file():
        outcomes = Comparison.load(path / RESULTS).runs
        return [_job(path / "runs" / Path(o.folder).name, o) for o in outcomes]
    if jobs := sorted(path.glob("runs/*/job.json")):
        return [_job(file.parent, None) for file in jobs]
    if (path / "job.json").is_file():
        return [_job(path, None)]
    if (path / "config.json").is_file() and "budget" in read_object(path / "config.json"):
        return [_training(path)]
    if (path / "settings.json").is_file() or (path / EPISODES).is_dir():
        return _evaluation(path)
    marks = ("metrics.jsonl", RESULTS, "settings.json")
    below = sorted(f.name for f in path.iterdir() if any((f / mark).is_file() for mark in marks))
    held = below or sorted(f.name for f in path.iterdir())
    listed = ", ".join(held[:6]) + (" …" if len(held) > 6 else "")
    hint = "The runs in it are" if below else "It holds"
    raise BadOption(f"{path} is not a run. {hint} {listed or 'nothing'}. {_EXPECTED}")


def _file(path: Path) -> ViewedRun:
    rows = EpisodeRows(path, repair=False)
    training = any(
        update is not None for (updates,) in rows.columns("update") for update in updates
    )
    phase: Phase = "training" if training else "evaluation"
    rollouts = ((phase, path),)
    return ViewedRun(
        path.stem, path.parent, path.stem, 0, rollouts=rollouts, notes=_cut_notes(path)
    )


def _with_own_names(runs: Sequence[ViewedRun]) -> list[ViewedRun]:
    """The runs; those of equal name also have the name of their parent folder."""
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name} ({run.folder.resolve().parent.name})")
        if names.count(run.name) > 1
        else run
        for run in runs
    ]


def _with_own_methods(runs: Sequence[ViewedRun]) -> list[ViewedRun]:
    """The runs; runs of one method with different settings are methods of their own.

    Such a method has the name of its first run. So an average is only over seeds.
    """
    setups = [json.dumps(_setup(run), sort_keys=True, default=str) for run in runs]
    first: dict[tuple[str, str], str] = {}
    for run, setup in zip(runs, setups, strict=True):
        first.setdefault((run.method, setup), run.name)
    kinds = Counter(method for method, _ in first)
    return [
        replace(run, method=f"{run.method} ({first[run.method, setup]})")
        if kinds[run.method] > 1 and setup != "null"
        else run
        for run, setup in zip(runs, setups, strict=True)
    ]


def _setup(run: ViewedRun) -> object:
    """What the runs of one method share: the policy evaluated, or the settings of the training
    but for those that vary. None if a comparison already says what one method is."""
    if (run.folder / "job.json").is_file():
        return None
    if "policy" in run.settings and "model" not in run.settings:
        return run.settings["policy"]
    return {k: v for k, v in run.settings.items() if k not in _VARYING} or None


def _training(path: Path) -> ViewedRun:
    settings = read_object(path / "config.json")
    metrics, rollouts = path / "metrics.jsonl", path / ROLLOUTS
    rows = list(read_lines(metrics)) if metrics.is_file() else []
    method, envs = settings.get("method"), settings.get("envs") or [settings["env"]]
    notes = _cut_notes(metrics) + _cut_notes(rollouts)
    notes += tuple(r["reason"] for r in rows if r.get("event") not in _SHOWN)
    if rows and not _has_episodes(rollouts):
        every = settings.get("log", {}).get("rollouts_every")
        notes += (
            f"This run logged no rollouts (log.rollouts_every is {every}), so there are curves but"
            " no steps.",
        )
    return ViewedRun(
        name=path.name,
        folder=path,
        method=method if isinstance(method, str) else path.name,
        seed=int(settings.get("seed", 0)),
        env=", ".join(env["id"] for env in envs),
        options=envs[0].get("options", {}) if len(envs) == 1 else {},
        updates=tuple(row for row in rows if "event" not in row),
        events=tuple(
            (r["update"], r["stage"], r["reason"]) for r in rows if r.get("event") == "stage_end"
        ),
        curve=_curve(rows),
        rollouts=(("training", rollouts),) if rollouts.is_dir() else (),
        settings=settings,
        tokenizer=_tokenizer(path, settings["model"]["path"]),
        notes=notes,
    )


def _curve(rows: Sequence[Update]) -> tuple[CurvePoint, ...]:
    """The evaluations in the lines of ``metrics.jsonl``."""
    seconds = {row["update"]: row.get("seconds", 0.0) for row in rows if "event" not in row}
    return tuple(
        CurvePoint(seconds.get(row["update"], 0.0), row["update"], row["eval/pass@1"])
        for row in rows
        if row.get("event") == "evaluation" and "eval/pass@1" in row
    )


def _evaluation(path: Path) -> list[ViewedRun]:
    """The evaluation in a folder; with a chooser, also that of the policy alone."""
    file = path / "settings.json"
    settings = read_object(file) if file.is_file() else {}
    alone = path / "alone"
    found = [_evaluated(path, settings)]
    if (alone / EPISODES).is_dir():
        found.insert(0, replace(_evaluated(alone, settings), name=f"{path.name} (alone)"))
    return found


def _evaluated(path: Path, settings: Mapping[str, Any]) -> ViewedRun:
    episodes = path / EPISODES
    result = read_result(path) if (path / RESULT).is_file() else None
    policy = result.policy if result else str(settings.get("policy", path.name))
    return ViewedRun(
        name=path.name,
        folder=path,
        method=Path(policy).name,
        seed=0,
        env=str(settings.get("env", result.env if result else "")),
        options=_with_split(settings.get("arguments", {}), settings),
        result=result,
        rollouts=(("evaluation", episodes),) if episodes.is_dir() else (),
        settings=settings,
        tokenizer=_tokenizer(Path(settings.get("policy", "")), None),
        notes=_cut_notes(episodes) + (() if result else ("This evaluation is not finished.",)),
    )


def _with_split(options: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, Any]:
    split = evaluation.get("split")
    return {**options, **({"split": split} if split else {})}


def outcome_run(outcome: RunOutcome) -> ViewedRun:
    """A run as its comparison keeps it: scores, evaluations, and a part of the updates."""
    updates = (asdict(point) for point in outcome.training)
    failed = (f"This run failed: {outcome.error}",) if outcome.error else ()
    return ViewedRun(
        outcome.label,
        Path(outcome.folder),
        outcome.method,
        outcome.seed,
        env=outcome.result.env if outcome.result else "",
        updates=tuple(
            u | {"groups/informative_fraction": u["informative_fraction"]} for u in updates
        ),
        curve=outcome.curve,
        result=outcome.result,
        notes=failed,
        base=outcome.base,
    )


def _job(path: Path, outcome: RunOutcome | None) -> ViewedRun:
    """One run of a comparison. Its folder may be gone, and its outcome may not exist yet."""
    job = read_object(path / "job.json") if (path / "job.json").is_file() else {}
    row = row_path(path.parent.parent / ROWS, path.name)
    if outcome is None and row.is_file():
        outcome = read_row(row)
    if outcome is None:
        base = str(job.get("base", ""))
        run = outcome_run(RunOutcome(str(job["method"]), int(job["seed"]), str(path), base=base))
        run = replace(run, notes=("This run is not finished.",))
    else:
        run = outcome_run(outcome)
    run = replace(run, folder=path, settings=job)
    if (path / "run" / "config.json").is_file():
        training = _training(path / "run")
        run = replace(
            training,
            name=run.name,
            folder=path,
            method=run.method,
            seed=run.seed,
            updates=training.updates or run.updates,
            curve=run.curve or training.curve,
            result=run.result,
            notes=training.notes + run.notes,
            base=run.base,
        )
    return _with_evaluation(run, path, job)


def _with_evaluation(run: ViewedRun, path: Path, job: Mapping[str, Any]) -> ViewedRun:
    """A comparison's run with the rollouts of its evaluation."""
    env = job.get("run", {}).get("env", {})
    evaluation = path / "evaluation" / EPISODES
    if evaluation.is_dir():
        notes = tuple(note for note in run.notes if not note.startswith("This run logged no"))
        rollouts = (*run.rollouts, ("evaluation", evaluation))
        run = replace(run, rollouts=rollouts, notes=notes + _cut_notes(evaluation))
        if env:
            options = _with_split(env.get("options", {}), job.get("evaluation", {}))
            run = replace(run, options=options)
    tokenizer = run.tokenizer or (_tokenizer(path, job["run"]["model"]["path"]) if job else None)
    return replace(run, env=run.env or env.get("id", ""), tokenizer=tokenizer)


def _has_episodes(log: Path) -> bool:
    files = log.iterdir() if log.is_dir() else [log]
    return any(file.is_file() and file.stat().st_size for file in files)


def _cut_notes(path: Path) -> tuple[str, ...]:
    """A note for each file of lines, or of those in a folder, whose last line is unfinished."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    return tuple(
        f"The last line of {file.name} is unfinished, so it is not shown."
        for file in files
        if file.suffix == ".jsonl" and file.is_file() and unfinished(file)
    )


def _tokenizer(path: Path, model: str | None) -> Path | None:
    """The tokenizer's file in a run's or a model's folder."""
    folders = [path, path / "model", *sorted((path / "checkpoints").glob("update-*"))]
    folders += [Path(model)] if model else []
    files = (folder / "tokenizer.json" for folder in folders if str(folder) not in ("", "."))
    return next((file for file in files if file.is_file()), None)

"""What lies in a folder: training runs, comparisons, evaluations, or a file of rollouts.

    runs = find_runs([Path("runs/first"), Path("runs/compare")])

Only the small files are read here (configuration, metrics, results); rollouts are read by
``srl_agents.view.index``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from srl_agents.evaluation.contrasts import BASE, RESULTS, Comparison, CurvePoint, Row, RunOutcome
from srl_agents.evaluation.scoring import EvalResult
from srl_agents.evaluation.statistics import Estimate
from srl_agents.view.curves import Axis, Series, series
from srl_agents.view.lines import read_lines, read_object, unfinished
from srl_env.errors import BadOption

Phase = Literal["training", "evaluation"]
Update = Mapping[str, Any]
"""One line of ``metrics.jsonl``, or as much of one as a comparison keeps."""

_EXPECTED = (
    "give the folder of a run (srl-env train), a comparison (srl-env compare) or an evaluation"
    " (srl-env eval), or a file of rollouts (.jsonl)"
)

_WRITTEN = ("out", "seed", "log", "checkpoint")
"""Settings in which the seeds of one method may differ."""


@dataclass(frozen=True, slots=True)
class ViewedRun:
    """One run, as it is looked at.

    method, seed: what it is compared as; an evaluation's method is its policy, and where runs of
    one method were set up differently, the first of each kind is named too. updates: of its
    training, events left out; events: (update, stage, reason) of stages that ended; other events,
    such as warnings, are among the notes. curve: evaluations on the way.
    scores: with 95 % intervals; result: what they were made from. rollouts: its files of
    episodes, and from which phase they are. options: the environment's. tokenizer: the file
    that turns ids into text, where one is there. notes: what the reader must know.
    base: the model it began from, where a comparison has several.
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
    scores: Mapping[str, Estimate] = field(default_factory=dict)
    rollouts: tuple[tuple[Phase, Path], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Path | None = None
    notes: tuple[str, ...] = ()
    base: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see of it."""
        return not (self.updates or self.scores or any(p.stat().st_size for _, p in self.rollouts))


def find_runs(paths: Sequence[Path]) -> list[ViewedRun]:
    """The runs in some folders and files, in order, each with a name of its own.

    Raises BadOption for what is no run, is empty, or cannot be read, BadData for a damaged file.
    """
    runs: list[ViewedRun] = []
    for path in paths:
        try:
            found = _runs_in(path)
        except PermissionError as error:
            raise BadOption(f"{error.filename} cannot be read: {error.strerror}") from error
        if all(run.empty for run in found):
            raise BadOption(
                f"{path} is empty: no update, no score and no rollout was written yet; look again"
                " once the run has made its first update"
            )
        runs += found
    return _set_apart(_named_apart(runs))


def is_comparison(path: Path) -> bool:
    """Whether ``srl-env compare`` wrote this folder."""
    return (path / RESULTS).is_file() or any(path.glob("runs/*/job.json"))


def run_series(run: ViewedRun, name: str, axis: Axis) -> Series | None:
    """One number of a run along an axis, None where it has none.

    "dev" is the share of right answers in the evaluations that a comparison makes on the way.
    """
    if name != "dev":
        return series(run.updates, name, axis)
    if run.method == BASE or len(run.curve) < 2:
        return None
    tokens = {u["update"]: u.get("tokens") for u in run.updates} | {0: 0}
    points = [asdict(p) | {"tokens": tokens.get(p.update), "dev": p.success} for p in run.curve]
    found = series(points, "dev", axis)
    return found and replace(found, noisy=False)


def score_rows(runs: Sequence[ViewedRun]) -> list[Row]:
    """The scores of each method over its seeds; of each run where the problems differ.

    Empty where no run was evaluated.
    """
    scored = [run for run in runs if run.result is not None]
    if len({run.result.problem_ids for run in scored if run.result}) == 1:
        outcomes = (
            RunOutcome(
                run.method,
                run.seed,
                str(run.folder),
                result=run.result,
                base=run.base,
                **_spent(run),
            )
            for run in scored
        )
        return Comparison({}, tuple(outcomes)).rows
    return [_own_row(run) for run in scored]


def _own_row(run: ViewedRun) -> Row:
    failures = sum(run.result.failures.values()) if run.result else 0
    problems = len(run.result.problem_ids) if run.result else 0
    scores = dict(run.scores)
    return Row(run.name, (run.seed,), scores, failures=failures, problems=problems, **_spent(run))


def _spent(run: ViewedRun) -> dict[str, Any]:
    last = run.updates[-1] if run.updates else {}
    return {"seconds": last.get("seconds") or 0.0, "updates": last.get("update", 0)}


def _runs_in(path: Path) -> list[ViewedRun]:
    if path.is_file():
        return [_file(path)]
    if not path.is_dir():
        raise BadOption(f"{path} does not exist; {_EXPECTED}")
    os.listdir(path)  # says so where it may not be read; glob and is_file would not
    if is_comparison(path):
        return _comparison(path)
    if (path / "job.json").is_file():
        return [_job(path, None)]
    if (path / "config.json").is_file() and "budget" in read_object(path / "config.json"):
        return [_training(path)]
    if (path / "settings.json").is_file() or (path / "episodes.jsonl").is_file():
        return _evaluation(path)
    raise BadOption(f"{path} is no run: {_EXPECTED}{_runs_below(path)}")


def _runs_below(path: Path) -> str:
    """The runs one level further down, where there are any."""
    marks = ("metrics.jsonl", RESULTS, "settings.json")
    below = sorted(f.name for f in path.iterdir() if any((f / mark).is_file() for mark in marks))
    if below:
        return f". In it are {', '.join(below[:6])}{' …' if len(below) > 6 else ''}"
    held = ", ".join(sorted(f.name for f in path.iterdir())[:6])
    return f". It holds {held or 'nothing'}"


def _file(path: Path) -> ViewedRun:
    training = any("update" in row for _, row in _first(path))
    phase: Phase = "training" if training else "evaluation"
    return ViewedRun(
        path.stem, path.parent, path.stem, 0, rollouts=((phase, path),), notes=_cut(path)
    )


def _set_apart(runs: Sequence[ViewedRun]) -> list[ViewedRun]:
    """The runs, with another method's name where runs of one method were set up differently.

    The name is that of the first run of its kind; so only what a seed changed is averaged.
    """
    kinds: dict[str, list[tuple[str, object]]] = {}
    for run in runs:
        of = kinds.setdefault(run.method, [])
        if all(setup != _setup(run) for _, setup in of):
            of.append((run.name, _setup(run)))
    named = []
    for run in runs:
        of = kinds[run.method]
        (first,) = (name for name, setup in of if setup == _setup(run))
        apart = len(of) > 1 and _setup(run) is not None
        named.append(replace(run, method=f"{run.method} ({first})") if apart else run)
    return named


def _setup(run: ViewedRun) -> object:
    """What runs share that are one method: the policy evaluated, or what a training was given but
    for its seed and what it writes. None for what a comparison says is one method."""
    if (run.folder / "job.json").is_file():
        return None
    if "policy" in run.settings and "model" not in run.settings:
        return run.settings["policy"]
    return {k: v for k, v in run.settings.items() if k not in _WRITTEN} or None


def _first(path: Path) -> list[tuple[int, dict[str, Any]]]:
    for line in read_lines(path):
        return [line]
    return []


def _training(path: Path) -> ViewedRun:
    settings = read_object(path / "config.json")
    metrics, rollouts = path / "metrics.jsonl", path / "rollouts.jsonl"
    rows = [row for _, row in read_lines(metrics)] if metrics.is_file() else []
    method = settings.get("method")
    notes = _cut(metrics) + _cut(rollouts)
    notes += tuple(r["reason"] for r in rows if r.get("event") not in (None, "stage_end"))
    if rows and not (rollouts.is_file() and rollouts.stat().st_size):
        every = settings.get("log", {}).get("rollouts_every")
        notes += (
            f"This run logged no rollouts (log.rollouts_every is {every}): there are curves, and"
            " no steps to look at.",
        )
    return ViewedRun(
        name=path.name,
        folder=path,
        method=method if isinstance(method, str) else path.name,
        seed=int(settings.get("seed", 0)),
        env=settings["env"]["id"],
        options=settings["env"].get("options", {}),
        updates=tuple(row for row in rows if "event" not in row),
        events=tuple(
            (r["update"], r["stage"], r["reason"]) for r in rows if r.get("event") == "stage_end"
        ),
        rollouts=(("training", rollouts),) if rollouts.is_file() else (),
        settings=settings,
        tokenizer=_tokenizer(path, settings["model"]["path"]),
        notes=notes,
    )


def _evaluation(path: Path) -> list[ViewedRun]:
    """The evaluation in a folder; where a chooser took part, also the policy alone."""
    file = path / "settings.json"
    settings = read_object(file) if file.is_file() else {}
    alone = path / "alone"
    found = [_evaluated(path, settings)]
    if (alone / "episodes.jsonl").is_file():
        found.insert(0, replace(_evaluated(alone, settings), name=f"{path.name} (alone)"))
    return found


def _evaluated(path: Path, settings: Mapping[str, Any]) -> ViewedRun:
    episodes, file = path / "episodes.jsonl", path / "result.json"
    result = EvalResult.from_json(read_object(file)) if file.is_file() else None
    policy = result.policy if result else str(settings.get("policy", path.name))
    return ViewedRun(
        name=path.name,
        folder=path,
        method=Path(policy).name,
        seed=0,
        env=str(settings.get("env", result.env if result else "")),
        options=settings.get("arguments", {}) | _split(settings.get("split")),
        result=result,
        scores=result.estimates() if result else {},
        rollouts=(("evaluation", episodes),) if episodes.is_file() else (),
        settings=settings,
        tokenizer=_tokenizer(Path(settings.get("policy", "")), None),
        notes=_cut(episodes) + (() if result else ("This evaluation is not finished.",)),
    )


def _split(split: Any) -> dict[str, Any]:
    return {"split": split} if split else {}


def _comparison(path: Path) -> list[ViewedRun]:
    """The runs of a comparison, from its results and from the folders that are there."""
    if (path / RESULTS).is_file():
        outcomes = Comparison.load(path / RESULTS).runs
        return [_job(path / "runs" / Path(o.folder).name, o) for o in outcomes]
    return [_job(file.parent, None) for file in sorted(path.glob("runs/*/job.json"))]


def _job(path: Path, outcome: RunOutcome | None) -> ViewedRun:
    """One run of a comparison; its folder may be gone, and its outcome not there yet."""
    if outcome is None and (path / "outcome.json").is_file():
        outcome = RunOutcome.from_json(read_object(path / "outcome.json"))
    job = read_object(path / "job.json") if (path / "job.json").is_file() else {}
    method = outcome.method if outcome else str(job["method"])
    seed = outcome.seed if outcome else int(job["seed"])
    base = outcome.base if outcome else str(job.get("base", ""))
    name = RunOutcome(method, seed, str(path), base=base).label
    run = ViewedRun(name, path, method, seed, settings=job, base=base)
    if (path / "run" / "config.json").is_file():
        run = replace(
            _training(path / "run"), name=name, folder=path, method=method, seed=seed, base=base
        )
    return _with_outcome(run, path, job, outcome)


def _with_outcome(
    run: ViewedRun, path: Path, job: Mapping[str, Any], outcome: RunOutcome | None
) -> ViewedRun:
    """The run with what its comparison knows of it."""
    evaluation = path / "evaluation" / "episodes.jsonl"
    notes = run.notes
    if evaluation.is_file():
        notes = tuple(note for note in notes if not note.startswith("This run logged no"))
        run = replace(run, rollouts=(*run.rollouts, ("evaluation", evaluation)))
    env = job.get("run", {}).get("env", {})
    run = replace(run, env=run.env or env.get("id", ""), notes=notes + _cut(evaluation))
    if evaluation.is_file() and env:
        split = job.get("evaluation", {}).get("split")
        run = replace(run, options=env.get("options", {}) | _split(split))
    if run.tokenizer is None and job:
        run = replace(run, tokenizer=_tokenizer(path, job["run"]["model"]["path"]))
    if outcome is None:
        return replace(run, notes=(*run.notes, "This run is not finished."))
    if outcome.error:
        run = replace(run, notes=(*run.notes, f"This run failed: {outcome.error}"))
    thinned = tuple(
        {
            "update": p.update,
            "stage": p.stage,
            "seconds": p.seconds,
            "reward": p.reward,
            "groups/informative_fraction": p.informative_fraction,
        }
        for p in outcome.training
    )
    return replace(
        run,
        env=run.env or (outcome.result.env if outcome.result else ""),
        updates=run.updates or thinned,
        curve=outcome.curve,
        result=outcome.result,
        scores=outcome.result.estimates() if outcome.result else {},
    )


def _cut(path: Path) -> tuple[str, ...]:
    if path.is_file() and unfinished(path):
        return (
            f"The last line of {path.name} is unfinished and left out; the run may be at work.",
        )
    return ()


def _tokenizer(path: Path, model: str | None) -> Path | None:
    """A tokenizer's file in a run's or a model's folder."""
    folders = [path, path / "model", *sorted((path / "checkpoints").glob("update-*"))]
    folders += [Path(model)] if model else []
    files = (folder / "tokenizer.json" for folder in folders if str(folder) not in ("", "."))
    return next((file for file in files if file.is_file()), None)


def _named_apart(runs: Sequence[ViewedRun]) -> list[ViewedRun]:
    """The runs, those of the same name with the folder that tells them apart."""
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name} ({run.folder.resolve().parent.name})")
        if names.count(run.name) > 1
        else run
        for run in runs
    ]

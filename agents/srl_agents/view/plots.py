"""The figures and tables of a paper from runs and comparisons, by one command.

    plot([Path("runs/compare")], Path("figures"))

Every figure is written by itself (PNG, SVG, PDF), all together as ``overview.png``, and the
numbers as ``results.md`` and ``results.tex``. Intervals are 95 % bootstrap intervals: over
seeds where a method has several runs, else over neighbouring updates; by difficulty and by
step over problems.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import srl_env
from srl_agents.evaluation.contrasts import BASE, as_markdown, coverage, table_cells
from srl_agents.evaluation.plan import FORCED
from srl_agents.evaluation.statistics import Estimate, estimate
from srl_agents.view.curves import AXES, FRACTIONS, Axis, Band, StageChange, band, stage_changes
from srl_agents.view.figures import (
    Figure,
    draw_curve,
    fraction_axis,
    look,
    mark_changes,
    png,
    save,
)
from srl_agents.view.index import EpisodeEntry, Index, make_index
from srl_agents.view.sources import ViewedRun, find_runs, run_series, score_rows
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, SrlEnvError
from srl_env.seeding import stream

FORMATS = ("png", "svg", "pdf")
MOST_STEPS = 2_000_000

_CURVES = {
    "reward": ("reward", "mean reward in training"),
    "success": ("success", "right answers in training"),
    "dev": ("dev-success", "right answers on problems held back"),
    "groups/informative_fraction": ("kept", "groups that carry a signal"),
}
_FRACTIONS = {
    "success-difficulty": FRACTIONS["success"],
    "success-given-steps": FRACTIONS["success"],
    "legal-step": "no step was legal",
}
"""The same as ``FRACTIONS``, of the figures by difficulty and by step."""

_LEVELS = 8  # more difficulties than so many are drawn in groups of like size
_LEAST_PROBLEMS = 2

Values = Mapping[str, Mapping[float, Sequence[float]]]
"""{method: {where on the axis: one value for each problem}}."""


@dataclass(frozen=True, slots=True)
class Plotted:
    """What was written, and what could not be: notes for people."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def plot(paths: Sequence[Path], out: Path, formats: Sequence[str] = FORMATS) -> Plotted:
    """The files written into ``out``.

    paths: of runs, comparisons or evaluations. formats: of the single figures.
    Raises BadOption for a path that is no run, for an unknown format, and where the folder
    cannot be written; MissingExtra without matplotlib.
    """
    for name in formats:
        if name not in FORMATS:
            raise BadOption(f"a format is one of {', '.join(FORMATS)}; got {name!r}")
    runs = find_runs(paths)
    notes: list[str] = []
    found = [*_curve_figures(runs), *_rollout_figures(runs, notes)]
    try:
        out.mkdir(parents=True, exist_ok=True)
        files = [save(each, out / f"{each.name}.{kind}") for each in found for kind in formats]
        files += [png(found, out / "overview.png", columns=3)] if found else []
        files += _write_tables(runs, out)
    except OSError as error:
        raise BadOption(f"{out} cannot be written: {error.strerror}") from error
    return Plotted(tuple(files), tuple(notes))


def _methods(runs: Iterable[ViewedRun]) -> list[str]:
    return list(dict.fromkeys(run.method for run in runs))


# Curves of training


def _curve_figures(runs: Sequence[ViewedRun]) -> Iterator[Figure]:
    """Each number along updates, tokens and seconds."""
    for name, (short, ylabel) in _CURVES.items():
        for axis, xlabel in AXES.items():
            bands = method_bands(runs, name, axis)
            if bands:
                over = ", ".join(dict.fromkeys(b.over for b in bands.values() if b.over))
                caption = ylabel.capitalize() + (f" (shaded: 95 % over {over})" if over else "")
                changes = method_changes(runs, bands, axis)
                if name == "reward" and any(changes.values()):
                    caption += ". A new stage has another reward"
                zero = FRACTIONS.get(name, "")
                draw = partial(_draw_bands, bands, changes, _methods(runs), xlabel, ylabel, zero)
                yield Figure(f"{short}-{axis}", caption, draw)


def method_bands(runs: Sequence[ViewedRun], name: str, axis: Axis) -> dict[str, Band]:
    """The curve of each method that has one."""
    found: dict[str, Band] = {}
    for method in _methods(runs):
        of = [run_series(run, name, axis) for run in runs if run.method == method]
        known = [series for series in of if series is not None]
        if known:
            found[method] = band(known)
    return found


def method_changes(
    runs: Sequence[ViewedRun], methods: Iterable[str], axis: Axis
) -> dict[str, list[StageChange]]:
    """Where the runs of each method change their stage."""
    return {m: stage_changes([r.updates for r in runs if r.method == m], axis) for m in methods}


def _draw_bands(
    bands: Mapping[str, Band],
    changes: Mapping[str, Sequence[StageChange]],
    methods: Sequence[str],
    xlabel: str,
    ylabel: str,
    zero: str,
    axes: Any,
) -> None:
    for method, curve in bands.items():
        values = (curve.x, curve.low, curve.middle, curve.high)
        draw_curve(axes, values, changes[method], method, look(methods, method))
    _finish(axes, xlabel, ylabel)
    mark_changes(axes, changes, methods)
    if zero:
        fraction_axis(axes, [y for curve in bands.values() for y in curve.middle], zero)


def _finish(axes: Any, xlabel: str, ylabel: str) -> None:
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)


# By difficulty and by step, from the rollouts


def _rollout_figures(runs: Sequence[ViewedRun], notes: list[str]) -> Iterator[Figure]:
    index = make_index(runs, most_steps=MOST_STEPS)
    judged = [e for e in index.episodes if e.correct is not None]
    chosen = _evaluated_or_trained(judged)
    measure, difficulty = _difficulties(runs, chosen, notes)
    right = _by_problem(
        runs, ((e, difficulty.get((e.run, e.problem)), float(bool(e.correct))) for e in chosen)
    )
    yield from _figure(
        runs, _in_levels(right), "success-difficulty", measure, "right answers", notes
    )
    given = _by_problem(runs, ((e, e.start_step, float(bool(e.correct))) for e in judged))
    if len({place for values in given.values() for place in values}) > 1:
        yield from _figure(
            runs, given, "success-given-steps", "expert steps given", "right answers", notes
        )
    yield from _step_figures(runs, index, notes)


def _step_figures(runs: Sequence[ViewedRun], index: Index, notes: list[str]) -> Iterator[Figure]:
    sound = [e for e in index.episodes if not e.failure]
    legal = _by_problem(
        runs,
        (
            (e, s.index, float(s.legal))
            for e in _evaluated_or_trained(sound)
            for s in index.steps_of(e)
            if s.legal is not None
        ),
    )
    yield from _figure(runs, legal, "legal-step", "step", "legal steps", notes)
    reward = _by_problem(
        runs,
        (
            (e, s.index, s.reward)
            for e in sound
            if e.phase == "training" or e.part in FORCED
            for s in index.steps_of(e)
            if s.reward is not None
        ),
    )
    yield from _figure(runs, reward, "reward-step", "step", "mean reward", notes)


def _evaluated_or_trained(episodes: Sequence[EpisodeEntry]) -> list[EpisodeEntry]:
    """The sampled rollouts of evaluations, where there are any; else those of training."""
    sampled = [e for e in episodes if e.phase == "evaluation" and e.part == "sampled"]
    return sampled or [e for e in episodes if e.phase == "training"]


def _by_problem(
    runs: Sequence[ViewedRun], values: Iterable[tuple[EpisodeEntry, float | None, float]]
) -> Values:
    """Means per method, place and problem; what has no place is left out."""
    found: dict[str, dict[float, dict[str, list[float]]]] = {}
    for episode, place, value in values:
        if place is None:
            continue
        places = found.setdefault(runs[episode.run].method, {})
        places.setdefault(float(place), defaultdict(list))[episode.problem].append(value)
    return {
        method: {
            place: [float(np.mean(of)) for of in problems.values()]
            for place, problems in sorted(places.items())
            if len(problems) >= _LEAST_PROBLEMS
        }
        for method, places in found.items()
    }


def _in_levels(values: Values) -> Values:
    """The same with many places (a measured difficulty) joined to a few of like size."""
    everywhere = sorted({place for places in values.values() for place in places})
    if len(everywhere) <= _LEVELS:
        return values
    edges = np.quantile(everywhere, np.linspace(0, 1, _LEVELS + 1))
    joined: dict[str, dict[float, list[float]]] = {}
    for method, places in values.items():
        levels = joined.setdefault(method, {})
        for place, of in places.items():
            level = min(int(np.searchsorted(edges, place, side="right")) - 1, _LEVELS - 1)
            levels.setdefault(float((edges[level] + edges[level + 1]) / 2), []).extend(of)
    return joined


def _figure(
    runs: Sequence[ViewedRun],
    values: Values,
    name: str,
    xlabel: str,
    ylabel: str,
    notes: list[str],
) -> Iterator[Figure]:
    """The figure, unless there is nothing to draw."""
    places = {place for of in values.values() for place in of}
    if len(places) < 2:
        why = "all lie at the same place" if places else "the rollouts do not say enough for it"
        notes.append(f"no figure {name} ({ylabel} by {xlabel}): {why}")
        return
    points = {
        method: {
            place: estimate(of, rng=stream(name, method, str(place)))
            for place, of in places.items()
        }
        for method, places in values.items()
        if places
    }
    caption = f"{ylabel.capitalize()} by {xlabel} (bars: 95 % over problems)"
    zero = _FRACTIONS.get(name, "")
    draw = partial(_draw_points, points, _methods(runs), xlabel, ylabel, zero)
    yield Figure(name, caption, draw)


def _draw_points(
    points: Mapping[str, Mapping[float, Estimate]],
    methods: Sequence[str],
    xlabel: str,
    ylabel: str,
    zero: str,
    axes: Any,
) -> None:
    places = sorted({place for found in points.values() for place in found})
    gap = min(np.diff(places), default=1.0)
    for number, (method, found) in enumerate(points.items()):
        shift = gap * 0.08 * (number - (len(points) - 1) / 2)  # bars side by side
        x = np.array(list(found)) + shift
        value, low, high = (
            np.array([getattr(each, part) for each in found.values()])
            for part in ("value", "low", "high")
        )
        style = look(methods, method)
        axes.errorbar(x, value, yerr=[value - low, high - value], label=method, capsize=2, **style)
    if len(places) <= 15:
        axes.set_xticks(places, [f"{place:.3g}" for place in places])
    _finish(axes, xlabel, ylabel)
    if zero:
        fraction_axis(axes, [e.value for found in points.values() for e in found.values()], zero)


def _difficulties(
    runs: Sequence[ViewedRun], episodes: Sequence[EpisodeEntry], notes: list[str]
) -> tuple[str, dict[tuple[int, str], float]]:
    """What is measured, and {(run, problem): difficulty}, as the run's environment says.

    Where it says none, or the same of all, the number of steps of the expert's solution.
    """
    stated: dict[tuple[int, str], float] = {}
    steps: dict[tuple[int, str], float] = {}
    for number in dict.fromkeys(e.run for e in episodes):
        ids = dict.fromkeys(e.problem for e in episodes if e.run == number)
        try:
            problems = _problems(runs[number], list(ids))
        except SrlEnvError as error:
            notes.append(f"{runs[number].name}: no difficulties ({error})")
            continue
        for problem in problems:
            level = problem.metadata.get("difficulty")
            if isinstance(level, int | float):
                stated[number, problem.id] = float(level)
            if problem.trajectories:
                steps[number, problem.id] = float(len(problem.trajectories[0].steps))
    if len(set(stated.values())) > 1 or not steps:
        return "difficulty", stated
    return "steps of the expert's solution", steps


def _problems(run: ViewedRun, ids: Sequence[str]) -> list[srl_env.Problem]:
    """The problems of those ids, from the run's environment."""
    env = srl_env.make(run.env, **run.options).unwrapped
    assert isinstance(env, ReasoningEnv), "training and evaluation take no other"
    try:
        return [env.problems[env.problems.index_of(each)] for each in ids]
    finally:
        env.close()


# Tables


def _write_tables(runs: Sequence[ViewedRun], out: Path) -> list[Path]:
    tables = [table for table in (_score_cells(runs), _training_cells(runs)) if len(table) > 1]
    if not tables:
        return []
    covers = [f"{coverage(rows)}\n"] if (rows := score_rows(runs)) else []
    covers_tex = [f"% {line}" for line in covers]
    files = {
        out / "results.md": "\n".join([as_markdown(h, b) for h, *b in tables] + covers),
        out / "results.tex": "\n".join([as_latex(h, b) for h, *b in tables] + covers_tex),
    }
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return list(files)


def as_latex(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Cells as a LaTeX tabular with the rules of the package booktabs."""
    lines = [f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", "\\toprule"]
    lines += [_latex_line(head), "\\midrule", *map(_latex_line, body)]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex, cells)) + " \\\\"


def _latex(text: str) -> str:
    """The text with LaTeX's own characters written out."""
    return re.sub(r"[\\&%$#_{}~^–−…]", lambda match: _LATEX[match.group()], text)


_LATEX = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    "…": "\\dots{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _score_cells(runs: Sequence[ViewedRun]) -> list[list[str]]:
    return table_cells(score_rows(runs))


def _training_cells(runs: Sequence[ViewedRun]) -> list[list[str]]:
    """Where training stood at its end: the last value of each method's curves."""
    columns = {name: method_bands(runs, name, "update") for name in _CURVES if name != "dev"}
    methods = [m for m in _methods(runs) if m != BASE and any(m in of for of in columns.values())]
    columns = {name: of for name, of in columns.items() if of}
    head = ["method", "runs", *(_CURVES[name][1] for name in columns)]
    lines = [[*head, "updates", "tokens", "seconds"]]
    for method in methods:
        of = [run for run in runs if run.method == method]
        cells = [_last(bands.get(method)) for bands in columns.values()]
        spent = [_mean_spent(of, name) for name in ("update", "tokens", "seconds")]
        lines.append([method, str(len(of)), *cells, *spent])
    return lines


def _last(curve: Band | None) -> str:
    if curve is None:
        return "–"
    return f"{curve.middle[-1]:.3f} [{curve.low[-1]:.3f}, {curve.high[-1]:.3f}]"


def _mean_spent(runs: Sequence[ViewedRun], name: str) -> str:
    known = [run.updates[-1][name] for run in runs if run.updates and name in run.updates[-1]]
    return f"{np.mean(known):.0f}" if known else "–"

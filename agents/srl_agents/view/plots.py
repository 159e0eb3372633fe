"""The figures and tables of a paper, from runs and comparisons.

    plot([Path("runs/compare")], Path("figures"))

Each figure is one file (PNG, SVG, PDF), all together are ``overview.png``, and the numbers are
``results.md`` and ``results.tex``. Intervals are 95 % bootstrap intervals: over seeds if a method
has several runs, otherwise over neighbouring updates; by difficulty and by step over problems.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import srl_env
from srl_agents.evaluation.contrasts import BASE, as_markdown, coverage, table_cells
from srl_agents.evaluation.plan import FORCED
from srl_agents.evaluation.statistics import Estimate, estimate
from srl_agents.view.curves import AXES, CURVES, Band
from srl_agents.view.figures import Figure, curve_figures, finish, fraction_axis, look, png, save
from srl_agents.view.index import EpisodeEntry, make_index
from srl_agents.view.sources import ViewedRun, find_runs, method_curves, methods_of, score_rows
from srl_env.data.files.streams import Paths
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, SrlEnvError
from srl_env.seeding import stream

FORMATS = ("png", "svg", "pdf")
MOST_STEPS = 2_000_000

_CURVES = [name for name, curve in CURVES.items() if curve.file]
_LEVELS = 8  # largest number of difficulties; more are joined to groups of similar size
_LEAST_PROBLEMS = 2

Values = Mapping[str, Mapping[float, Sequence[float]]]
"""{method: {place on the axis: one value for each problem}}."""


@dataclass(frozen=True, slots=True)
class Plotted:
    """The files that were written, and notes about those that could not be."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def plot(paths: Paths, out: Path, formats: Sequence[str] = FORMATS) -> Plotted:
    """The files written into ``out``.

    paths: of runs, comparisons or evaluations. formats: of the single figures.
    Raises BadOption for a path that is not a run, for an unknown format, and if the folder
    cannot be written; MissingExtra without matplotlib.
    """
    for name in formats:
        if name not in FORMATS:
            raise BadOption(f"format must be one of {', '.join(FORMATS)}; got {name!r}")
    runs = find_runs(paths)
    rollouts = _RolloutFigures(runs)
    found = [*curve_figures(runs, _CURVES, AXES), *rollouts.figures()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        files = [save(each, out / f"{each.name}.{kind}") for each in found for kind in formats]
        files += [png(found, out / "overview.png", columns=3)] if found else []
        files += _write_tables(runs, out)
    except OSError as error:
        raise BadOption(f"{out} cannot be written: {error.strerror}") from error
    return Plotted(tuple(files), tuple(rollouts.notes))


# By difficulty and by step, from the rollouts


class _RolloutFigures:
    """notes: why a figure could not be drawn."""

    def __init__(self, runs: Sequence[ViewedRun]) -> None:
        self.runs, self.notes = runs, list[str]()
        self.index = make_index(runs, most_steps=MOST_STEPS)

    def figures(self) -> Iterator[Figure]:
        """Success by difficulty and by given steps; legal steps and rewards by step."""
        judged = [e for e in self.index.episodes if e.correct is not None]
        sound = [e for e in self.index.episodes if not e.failure]
        correct = "correct answers", "nothing was solved"
        chosen = _evaluated_or_trained(judged)
        measure, difficulty = self._difficulties(chosen)
        by_difficulty = self._by_problem(
            (e, difficulty.get((e.run, e.problem)), float(bool(e.correct))) for e in chosen
        )
        levels = _in_levels(by_difficulty)
        yield from self._figure(levels, "success-difficulty", measure, *correct)
        if len({e.start_step for e in judged}) > 1:
            given = self._by_problem((e, e.start_step, float(bool(e.correct))) for e in judged)
            yield from self._figure(given, "success-given-steps", "expert steps given", *correct)
        legal = self._by_problem(
            (e, step.index, float(step.legal))
            for e in _evaluated_or_trained(sound)
            for step in self.index.steps_of(e)
            if step.legal is not None
        )
        yield from self._figure(legal, "legal-step", "step", "legal steps", "no step was legal")
        reward = self._by_problem(
            (e, step.index, step.reward)
            for e in sound
            if e.phase == "training" or e.part in FORCED
            for step in self.index.steps_of(e)
            if step.reward is not None
        )
        yield from self._figure(reward, "reward-step", "step", "mean reward")

    def _by_problem(self, values: Iterable[tuple[EpisodeEntry, float | None, float]]) -> Values:
        """Means per method, place and problem; a value without a place is dropped."""
        found: dict[str, dict[float, dict[str, list[float]]]] = {}
        for episode, place, value in values:
            if place is None:
                continue
            places = found.setdefault(self.runs[episode.run].method, {})
            places.setdefault(float(place), defaultdict(list))[episode.problem].append(value)
        return {
            method: {
                place: [float(np.mean(of)) for of in problems.values()]
                for place, problems in sorted(places.items())
                if len(problems) >= _LEAST_PROBLEMS
            }
            for method, places in found.items()
        }

    def _figure(
        self, values: Values, name: str, xlabel: str, ylabel: str, zero: str = ""
    ) -> Iterator[Figure]:
        """The figure, if there is something to draw. zero: as in ``curves.Curve``."""
        places = {place for of in values.values() for place in of}
        if len(places) < 2:
            why = "all values are at one place" if places else "the rollouts lack the data"
            self.notes.append(f"no figure {name} ({ylabel} by {xlabel}): {why}")
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
        methods = methods_of(self.runs)

        def draw(axes: Any) -> None:
            _draw_points(axes, points, methods)
            finish(axes, xlabel, ylabel)
            if zero:
                estimates = [e for found in points.values() for e in found.values()]
                fraction_axis(axes, [e.value for e in estimates], zero)

        yield Figure(name, caption, draw)

    def _difficulties(
        self, episodes: Sequence[EpisodeEntry]
    ) -> tuple[str, dict[tuple[int, str], float]]:
        """The measure, and {(run, problem): difficulty}, from each run's environment.

        If the environment has no difficulties, or all are equal, the measure is the number of
        steps of the expert's solution.
        """
        stated: dict[tuple[int, str], float] = {}
        steps: dict[tuple[int, str], float] = {}
        for number in dict.fromkeys(e.run for e in episodes):
            ids = dict.fromkeys(e.problem for e in episodes if e.run == number)
            try:
                problems = _problems(self.runs[number], list(ids))
            except SrlEnvError as error:
                self.notes.append(f"{self.runs[number].name}: no difficulties ({error})")
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


def _evaluated_or_trained(episodes: Sequence[EpisodeEntry]) -> list[EpisodeEntry]:
    """The sampled rollouts of evaluations if there are any; otherwise those of training."""
    sampled = [e for e in episodes if e.phase == "evaluation" and e.part == "sampled"]
    return sampled or [e for e in episodes if e.phase == "training"]


def _in_levels(values: Values) -> Values:
    """The values with many places (a measured difficulty) joined to a few of similar size."""
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


def _draw_points(
    axes: Any, points: Mapping[str, Mapping[float, Estimate]], methods: Sequence[str]
) -> None:
    places = sorted({place for found in points.values() for place in found})
    gap = min(np.diff(places), default=1.0)
    for number, (method, found) in enumerate(points.items()):
        shift = gap * 0.08 * (number - (len(points) - 1) / 2)  # bars side by side
        value, low, high = (
            np.array([getattr(each, part) for each in found.values()])
            for part in ("value", "low", "high")
        )
        bars, x = [value - low, high - value], np.array(list(found)) + shift
        style = look(methods, method)
        axes.errorbar(x, value, yerr=bars, label=method, capsize=2, **style)
    if len(places) <= 15:
        axes.set_xticks(places, [f"{place:.3g}" for place in places])


def _problems(run: ViewedRun, ids: Sequence[str]) -> list[srl_env.Problem]:
    """The problems with these ids, from the run's environment."""
    env = srl_env.make(run.env, **run.options).unwrapped
    assert isinstance(env, ReasoningEnv), "training and evaluation accept no other"
    try:
        return [env.problems[env.problems.index_of(each)] for each in ids]
    finally:
        env.close()


# Tables


def _write_tables(runs: Sequence[ViewedRun], out: Path) -> list[Path]:
    rows = score_rows(runs)
    tables = [table for table in (table_cells(rows), _training_cells(runs)) if len(table) > 1]
    if not tables:
        return []
    covers = [coverage(rows)] if rows else []
    files = {
        out / "results.md": [as_markdown(h, b) for h, *b in tables] + covers,
        out / "results.tex": [as_latex(h, b) for h, *b in tables] + [f"% {c}" for c in covers],
    }
    for path, parts in files.items():
        path.write_text("\n".join(parts) + "\n" * bool(covers), encoding="utf-8")
    return list(files)


def as_latex(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Cells as a LaTeX tabular with the rules of the package booktabs."""
    head_line, *lines = (" & ".join(map(_latex, cells)) + " \\\\" for cells in (head, *body))
    begin = f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"
    parts = [begin, "\\toprule", head_line, "\\midrule", *lines, "\\bottomrule", "\\end{tabular}"]
    return "\n".join([*parts, ""])


def _latex(text: str) -> str:
    """The text with LaTeX's own characters escaped."""
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


def _training_cells(runs: Sequence[ViewedRun]) -> list[list[str]]:
    """The end of training: the last value of each method's curves."""
    columns = {name: method_curves(runs, name, "update") for name in _CURVES if name != "dev"}
    methods = [m for m in methods_of(runs) if m != BASE and any(m in of for of in columns.values())]
    columns = {name: of for name, of in columns.items() if of}
    head = ["method", "runs", *(CURVES[name].title for name in columns)]
    lines = [[*head, "updates", "tokens", "seconds"]]
    for method in methods:
        of = [run for run in runs if run.method == method]
        cells = [_last(bands.get(method)) for bands in columns.values()]
        usage = [[r.last[n] for r in of if n in r.last] for n in ("update", "tokens", "seconds")]
        means = [f"{np.mean(known):.0f}" if known else "–" for known in usage]
        lines.append([method, str(len(of)), *cells, *means])
    return lines


def _last(curve: Band | None) -> str:
    if curve is None:
        return "–"
    return f"{curve.middle[-1]:.3f} [{curve.low[-1]:.3f}, {curve.high[-1]:.3f}]"

"""The results of a comparison: every run's scores, and methods compared with each other.

Data and statistics only; ``srl_agents.comparison.scheduler`` makes it, and
``srl_agents.view.report`` shows it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from srl_agents.evaluation.scoring import EvalResult, without_nan
from srl_agents.evaluation.statistics import (
    Estimate,
    Scores,
    all_differences,
    estimate,
    probability_of_improvement,
)
from srl_agents.runs.files import write_json
from srl_env.errors import BadData, BadOption
from srl_env.seeding import stream

BASE = "base"
"""The method name of the model before any training."""

RESULTS = "results.json"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A small evaluation during training. success: pass@1 after these seconds of training."""

    seconds: float
    update: int
    success: float


@dataclass(frozen=True, slots=True)
class TrainingPoint:
    """One update. reward: the mean in training. informative_fraction: groups with a signal."""

    seconds: float
    update: int
    stage: str
    reward: float | None
    informative_fraction: float | None


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """One training run, or the base model (seconds 0).

    seconds, updates, tokens: training without evaluations and checkpoints.
    result: scores on unseen problems; None if the run failed, and error says why.
    curve: evaluations during training. training: its updates, averaged into fewer points.
    base: the base model, if the comparison has several, else "".
    transfer: scores on problems of environments that it was not trained in, by name.
    model, weights: the model that it started from, and the hash of its weights. commit, processor:
    of the processes that made it, and jobs: how many these were. settings: its configuration.
    """

    method: str
    seed: int
    folder: str
    seconds: float = 0.0
    updates: int = 0
    tokens: int = 0
    result: EvalResult | None = None
    curve: tuple[CurvePoint, ...] = ()
    training: tuple[TrainingPoint, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None
    base: str = ""
    transfer: dict[str, EvalResult] = field(default_factory=dict)
    model: str = ""
    weights: str = ""
    commit: str = ""
    processor: str = ""
    jobs: int = 1
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name of the run, for people."""
        name = self.method if self.method == BASE else f"{self.method} seed {self.seed}"
        return f"{name} from {self.base}" if self.base else name

    def to_json(self) -> dict[str, Any]:
        """JSON-safe."""
        transfer = {name: result.to_json() for name, result in self.transfer.items()}
        result = self.result and self.result.to_json()
        return asdict(self) | {"result": result, "transfer": transfer}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunOutcome:
        """The outcome from what ``to_json`` returned; ValueError for other data."""
        return TypeAdapter(cls).validate_python(data)


@dataclass(frozen=True, slots=True)
class Row:
    """One method over its base models and seeds. Scores that no run has are absent.

    runs: number of runs of each base model. problems: number of evaluated problems.
    """

    method: str
    seeds: tuple[int, ...]
    scores: dict[str, Estimate]
    seconds: float
    updates: float
    failures: int
    runs: tuple[int, ...] = (1,)
    problems: int = 0

    @property
    def covers(self) -> str:
        """What the intervals cover, and what there was only one of."""
        low, high, bases = min(self.runs), max(self.runs), len(self.runs)
        each = " each" if bases > 1 else ""
        over = [f"{bases} base models"] if bases > 1 else []
        if high > 1:
            over.append(f"{high if low == high else f'{low} to {high}'} training seeds{each}")
        over.append(f"{self.problems} problem{'s' * (self.problems != 1)}")
        text = f"95 % over {', '.join(over[:-1])}{' and ' if over[1:] else ''}{over[-1]}"
        if high == 1 and self.method != BASE:
            text += f", one training seed{each}"
        return text if bases > 1 else f"{text}, one base model"


def coverage(rows: Sequence[Row]) -> str:
    """One sentence on what the intervals of a table of rows cover."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.covers, []).append(row.method)
    if len(found) == 1:
        return f"Intervals: {next(iter(found))}."
    parts = (f"{', '.join(methods)}: {covers}" for covers, methods in found.items())
    return f"Intervals: {'; '.join(parts)}."


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two trained methods on the same problems, the one with the higher pass@1 first.

    difference: of pass@1; the intervals of all pairs hold together. improvement: the probability
    that a run of the first scores above a run of the second, from the same base model, on a
    problem drawn at random; ties count half.
    """

    first: str
    second: str
    difference: Estimate
    improvement: float


@dataclass(frozen=True)
class Comparison:
    """Methods under equal budgets. settings: the configuration, JSON-safe."""

    settings: dict[str, Any]
    runs: tuple[RunOutcome, ...]

    @property
    def methods(self) -> list[str]:
        """The methods in the order of the configuration, the base model first."""
        return list(dict.fromkeys(run.method for run in self.runs))

    @property
    def bases(self) -> list[str]:
        """The base models in the order of the configuration; [""] for a single one."""
        return list(dict.fromkeys(run.base for run in self.runs))

    @property
    def missing(self) -> list[RunOutcome]:
        """The runs without scores: they failed, or are not finished."""
        return [run for run in self.runs if run.result is None]

    def transferred(self) -> dict[str, Comparison]:
        """{environment that no run trained in: the same runs with their scores there}."""
        names = dict.fromkeys(name for run in self.runs for name in run.transfer)
        return {
            name: replace(
                self, runs=tuple(replace(r, result=r.transfer.get(name)) for r in self.runs)
            )
            for name in names
        }

    def of(self, method: str) -> list[RunOutcome]:
        """The runs of a method, by base model and seed."""
        runs = [run for run in self.runs if run.method == method]
        return sorted(runs, key=lambda run: (self.bases.index(run.base), run.seed))

    def tables(self, method: str, name: str) -> dict[str, Scores]:
        """{base model: (R, P), a score of each finished run of a method on each problem}."""
        found: dict[str, list[tuple[float, ...]]] = {}
        for run in self.of(method):
            if run.result is not None and name in run.result.scores:
                found.setdefault(run.base, []).append(run.result.scores[name])
        return {base: np.array(scores, np.float64) for base, scores in found.items()}

    def scores(self, method: str, name: str) -> Scores:
        """(R, P): the same of all base models, one after another."""
        return np.concatenate(list(self.tables(method, name).values()))

    @cached_property
    def rows(self) -> list[Row]:
        """One row for each method with a finished run, in the order of ``methods``."""
        return [self._row(m) for m in self.methods if any(r.result for r in self.of(m))]

    def contrasts(self) -> list[Contrast]:
        """Every pair of trained methods, on the base models that all of them have runs of."""
        rows = [r for r in self.rows if r.method != BASE and "pass@1" in r.scores]
        rows.sort(key=lambda row: -row.scores["pass@1"].value)
        scores = self._shared([row.method for row in rows])
        if len(rows) < 2 or not all(scores.values()):
            return []
        gaps = all_differences(scores, rng=stream("differences", *scores))
        return [
            Contrast(a, b, gap, probability_of_improvement(scores[a], scores[b]))
            for (a, b), gap in gaps.items()
        ]

    def gains(self) -> dict[str, Estimate]:
        """{trained method: its pass@1 minus the base model's}, on base models that have both."""
        found: dict[str, Estimate] = {}
        for method in self.methods:
            pair = self._shared([method, BASE])
            if method != BASE and pair[BASE]:
                gap = all_differences(pair, rng=stream("gains", method))
                found[method] = gap[method, BASE]
        return found

    def to_json(self) -> dict[str, Any]:
        """JSON-safe: the settings, the runs, and what is computed from them."""
        return {
            "settings": self.settings,
            "methods": [asdict(row) for row in self.rows],
            "intervals": coverage(self.rows) if self.rows else "",
            "contrasts": [asdict(contrast) for contrast in self.contrasts()],
            "runs": [run.to_json() for run in self.runs],
        }

    def save(self, folder: Path) -> Path:
        """Writes ``results.json`` into the folder; returns its path."""
        path = folder / RESULTS
        write_json(path, without_nan(self.to_json()))
        return path

    @classmethod
    def load(cls, path: Path) -> Comparison:
        """The comparison in a ``results.json``. Raises BadOption or BadData if it is unreadable."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(data["settings"], tuple(map(RunOutcome.from_json, data["runs"])))
        except OSError as error:
            raise BadOption(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            got = f"{type(error).__name__}: {error}".splitlines()[0]
            raise BadData(f"{path}:1: must be the results of a comparison; got {got}") from error

    def _shared(self, methods: Sequence[str]) -> dict[str, list[Scores]]:
        """{method: its pass@1 on each base model that all of these methods have runs of}."""
        found = {method: self.tables(method, "pass@1") for method in methods}
        bases = [base for base in self.bases if all(base in tables for tables in found.values())]
        return {method: [tables[base] for base in bases] for method, tables in found.items()}

    def _row(self, method: str) -> Row:
        runs = [run for run in self.of(method) if run.result is not None]
        results = [run.result for run in runs if run.result is not None]
        names = dict.fromkeys(name for result in results for name in result.scores)
        return Row(
            method,
            seeds=tuple(dict.fromkeys(run.seed for run in runs)),
            scores={
                name: estimate(
                    list(self.tables(method, name).values()),
                    rng=stream("bootstrap", method, name),
                )
                for name in names
            },
            seconds=float(np.mean([run.seconds for run in runs])),
            updates=float(np.mean([run.updates for run in runs])),
            failures=sum(sum(result.failures.values()) for result in results),
            runs=tuple(Counter(run.base for run in runs).values()),
            problems=max(len(result.problem_ids) for result in results),
        )


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, values in per cent, and what the intervals cover."""
    head, *body = table_cells(rows)
    return as_markdown(head, body) + (f"\n{coverage(rows)}\n" if rows else "")


def table_cells(rows: Sequence[Row], *, every_interval: bool = False) -> list[list[str]]:
    """The heads and then each row's cells, in per cent with the 95 % interval of pass@1.

    every_interval: with the intervals of every pass@k.
    """
    names = score_columns(rows)
    lines = [["method", "seeds", *(f"{TITLES.get(name, name)} %" for name in names), "seconds"]]
    for row in rows:
        cells = [
            percent(
                row.scores.get(name),
                interval=name == "pass@1" or (every_interval and name.startswith("pass@")),
            )
            for name in names
        ]
        lines.append([row.method, str(len(row.seeds)), *cells, f"{row.seconds:.0f}"])
    return lines


def as_markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table, all columns but the first aligned right."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *body]
    return "".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines
    )


TITLES = {
    "greedy": "greedy",
    "legal": "legal steps",
    "legal_and_correct": "legal and correct",
    "similarity": "step similarity",
    "sampled_similarity": "step similarity, sampled",
}
"""Headings of the scores that are fractions, besides pass@k."""


def percent(found: Estimate | None, *, interval: bool) -> str:
    """A fraction as "46.9 [38.0, 55.1]", or "–" if there is none."""
    if found is None or np.isnan(found.value):
        return "–"
    value = f"{100 * found.value:.1f}"
    return f"{value} [{100 * found.low:.1f}, {100 * found.high:.1f}]" if interval else value


def score_columns(rows: Sequence[Row]) -> list[str]:
    """pass@k by k, then the other fractions, of those that any row has."""
    found = {name for row in rows for name in row.scores}
    passes = sorted((n for n in found if n.startswith("pass@")), key=lambda n: int(n[5:]))
    return [*passes, *(name for name in TITLES if name in found)]

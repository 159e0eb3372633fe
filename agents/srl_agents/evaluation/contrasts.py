"""What a comparison found: every run's scores, and methods set against each other.

Data and statistics only; ``srl_agents.comparison.scheduler`` makes it, and
``srl_agents.view.report`` shows it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from srl_agents.evaluation.scoring import EvalResult, without_nan
from srl_agents.evaluation.statistics import (
    Estimate,
    Scores,
    all_differences,
    estimate,
    interquartile_mean,
    probability_of_improvement,
)
from srl_env.errors import BadData, BadOption
from srl_env.seeding import stream

BASE = "base"
"""The name under which the model is listed as it was before any training."""

RESULTS = "results.json"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A cheap evaluation during training: after so many seconds of it, what share was right."""

    seconds: float
    update: int
    success: float


@dataclass(frozen=True, slots=True)
class TrainingPoint:
    """One update: reward: the mean in training. informative_fraction: groups with a signal."""

    seconds: float
    update: int
    stage: str
    reward: float | None
    informative_fraction: float | None


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """One training run, or the base model (seconds 0).

    seconds, updates, tokens: of training, without evaluations and checkpoints.
    result: on unseen problems, None where the run did not get there; error then says why.
    curve: evaluations during training; training: its updates, thinned. warnings: as the training
    result's. base: the model it began from, where the comparison has several; "" for the one.
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

    @property
    def label(self) -> str:
        """Which run it is, for people."""
        said = self.method if self.method == BASE else f"{self.method} seed {self.seed}"
        return f"{said} from {self.base}" if self.base else said

    def to_json(self) -> dict[str, Any]:
        """JSON-safe."""
        return asdict(self) | {"result": self.result and self.result.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunOutcome:
        """The outcome that ``to_json`` was called on."""
        result = data["result"]
        return cls(
            **{
                **data,
                "result": result and EvalResult.from_json(result),
                "curve": tuple(CurvePoint(**point) for point in data["curve"]),
                "training": tuple(TrainingPoint(**point) for point in data["training"]),
                "warnings": tuple(data.get("warnings", ())),
            }
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One method over its base models and seeds; scores the environment has not are absent.

    runs: how many each base model has. problems: those evaluated.
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
        """What the intervals are over, and what there was only one of."""
        low, high = min(self.runs), max(self.runs)
        over = [f"{len(self.runs)} base models"] if len(self.runs) > 1 else []
        if high > 1:
            count = str(high) if low == high else f"{low} to {high}"
            over.append(f"{count} training seeds" + (" each" if len(self.runs) > 1 else ""))
        over.append(f"{self.problems} problems" if self.problems != 1 else "1 problem")
        said = f"95 % over {', '.join(over[:-1])}{' and ' if over[1:] else ''}{over[-1]}"
        if high == 1 and self.method != BASE:
            said += ", one training seed" + (" each" if len(self.runs) > 1 else "")
        return said if len(self.runs) > 1 else f"{said}, one base model"


def coverage(rows: Sequence[Row]) -> str:
    """What the intervals of a table of rows are over, in one sentence."""
    said: dict[str, list[str]] = {}
    for row in rows:
        said.setdefault(row.covers, []).append(row.method)
    if len(said) == 1:
        return f"Intervals: {next(iter(said))}."
    parts = (f"{', '.join(methods)}: {covers}" for covers, methods in said.items())
    return f"Intervals: {'; '.join(parts)}."


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two trained methods on the same problems, the one with the higher pass@1 first.

    difference: of pass@1; the intervals of all pairs hold together. improvement: the probability
    that a run of the first scores above a run of the second, from the same base model, on a
    problem drawn at random, ties counted half.
    """

    first: str
    second: str
    difference: Estimate
    improvement: float


@dataclass(frozen=True)
class Comparison:
    """Methods under equal budgets. settings: the configuration it came from, JSON-safe."""

    settings: dict[str, Any]
    runs: tuple[RunOutcome, ...]

    @property
    def methods(self) -> list[str]:
        """The methods in the order of the configuration, the base model first."""
        return list(dict.fromkeys(run.method for run in self.runs))

    @property
    def bases(self) -> list[str]:
        """The base models in the order of the configuration; [""] where there is one."""
        return list(dict.fromkeys(run.base for run in self.runs))

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
        found = {row.method: self.tables(row.method, "pass@1") for row in rows}
        shared = [base for base in self.bases if all(base in tables for tables in found.values())]
        if len(rows) < 2 or not shared:
            return []
        scores = {method: [tables[base] for base in shared] for method, tables in found.items()}
        gaps = all_differences(scores, rng=stream("differences", *scores))
        return [
            Contrast(a, b, gap, probability_of_improvement(scores[a], scores[b]))
            for (a, b), gap in gaps.items()
        ]

    def gains(self) -> dict[str, Estimate]:
        """{trained method: its pass@1 minus the base model's}, on base models that have both."""
        before = self.tables(BASE, "pass@1")
        found: dict[str, Estimate] = {}
        for method in self.methods:
            after = self.tables(method, "pass@1")
            shared = [base for base in self.bases if base in before and base in after]
            if method != BASE and shared:
                pair = {method: [after[b] for b in shared], BASE: [before[b] for b in shared]}
                gap = all_differences(pair, rng=stream("gains", method))
                found[method] = gap[method, BASE]
        return found

    def interquartile_means(self) -> dict[str, Estimate]:
        """{method: interquartile mean of pass@1 over runs × problems, with interval}."""
        return {
            row.method: estimate(
                list(self.tables(row.method, "pass@1").values()),
                interquartile_mean,
                rng=stream("interquartile", row.method),
            )
            for row in self.rows
            if "pass@1" in row.scores
        }

    def to_json(self) -> dict[str, Any]:
        """JSON-safe: everything, with what was computed from it beside."""
        return {
            "settings": self.settings,
            "methods": [asdict(row) for row in self.rows],
            "intervals": coverage(self.rows) if self.rows else "",
            "contrasts": [asdict(contrast) for contrast in self.contrasts()],
            "interquartile_means": {m: asdict(e) for m, e in self.interquartile_means().items()},
            "runs": [run.to_json() for run in self.runs],
        }

    def save(self, folder: Path) -> Path:
        """The path of ``results.json``, written into the folder."""
        path = folder / RESULTS
        path.write_text(json.dumps(without_nan(self.to_json()), indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Comparison:
        """The comparison in a ``results.json``; BadOption or BadData where it cannot be read."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            runs = tuple(RunOutcome.from_json(run) for run in data["runs"])
            return cls(data["settings"], runs)
        except OSError as error:
            raise BadOption(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise BadData(f"{path}:1: not the results of a comparison ({error!r})") from error

    def _row(self, method: str) -> Row:
        runs = [run for run in self.of(method) if run.result is not None]
        results = [run.result for run in runs if run.result is not None]
        names = dict.fromkeys(name for result in results for name in result.scores)
        counts = Counter(run.base for run in runs)
        return Row(
            method,
            tuple(dict.fromkeys(run.seed for run in runs)),
            {
                name: estimate(
                    list(self.tables(method, name).values()),
                    rng=stream("bootstrap", method, name),
                )
                for name in names
            },
            float(np.mean([run.seconds for run in runs])),
            float(np.mean([run.updates for run in runs])),
            sum(sum(result.failures.values()) for result in results),
            tuple(counts.values()),
            max(len(result.problem_ids) for result in results),
        )


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, values in per cent, and what the intervals are over."""
    head, *body = table_cells(rows)
    return as_markdown(head, body) + (f"\n{coverage(rows)}\n" if rows else "")


def table_cells(rows: Sequence[Row]) -> list[list[str]]:
    """The heads and then each row's cells, values in per cent with their 95 % intervals."""
    names = score_columns(rows)
    lines = [["method", "seeds", *(f"{TITLES.get(name, name)} %" for name in names), "seconds"]]
    for row in rows:
        cells = [percent(row.scores.get(name), interval=name == "pass@1") for name in names]
        lines.append([row.method, str(len(row.seeds)), *cells, f"{row.seconds:.0f}"])
    return lines


def as_markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table, all columns but the first set right."""
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
"""How scores that are shares are headed, beside pass@k; lengths are not among them."""


def percent(found: Estimate | None, *, interval: bool) -> str:
    """A share as "46.9 [38.0, 55.1]", or "–" where there is none."""
    if found is None or np.isnan(found.value):
        return "–"
    value = f"{100 * found.value:.1f}"
    return f"{value} [{100 * found.low:.1f}, {100 * found.high:.1f}]" if interval else value


def score_columns(rows: Sequence[Row]) -> list[str]:
    """pass@k by k, then the other shares, of those that any row has."""
    found = {name for row in rows for name in row.scores}
    passes = sorted((n for n in found if n.startswith("pass@")), key=lambda n: int(n[5:]))
    return [*passes, *(name for name in TITLES if name in found)]

"""What a comparison found: every run's scores, and methods set against each other.

Data and statistics only; ``srl_agents.compare`` makes it, ``srl_agents.report`` shows it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from srl_agents.scoring import EvalResult
from srl_agents.statistics import (
    Estimate,
    Scores,
    difference,
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
    """One update: reward is the mean in training; kept_share of groups with a signal, or None."""

    seconds: float
    update: int
    stage: str
    reward: float | None
    kept_share: float | None


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """One training run, or the base model (seconds 0).

    seconds, updates, tokens: of training, without evaluations and checkpoints.
    result: on unseen problems, None where the run did not get there; error then says why.
    curve: evaluations during training; training: its updates, thinned. warnings: as the training
    result's.
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
    """One method over its seeds; scores the environment has not are absent."""

    method: str
    seeds: tuple[int, ...]
    scores: dict[str, Estimate]
    seconds: float
    updates: float
    failures: int


@dataclass(frozen=True, slots=True)
class Contrast:
    """The best method against another, on the same problems.

    difference: of pass@1, with interval; improvement: the probability that a run of the best
    scores above a run of the other on a problem drawn at random, ties counted half.
    """

    best: str
    other: str
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

    def of(self, method: str) -> list[RunOutcome]:
        """The runs of a method, by seed."""
        return sorted((r for r in self.runs if r.method == method), key=lambda run: run.seed)

    def scores(self, method: str, name: str) -> Scores:
        """(R, P): one score of each finished run of a method on each problem."""
        results = [run.result for run in self.of(method) if run.result is not None]
        return np.array([r.scores[name] for r in results if name in r.scores], np.float64)

    @cached_property
    def rows(self) -> list[Row]:
        """One row for each method with a finished run, in the order of ``methods``."""
        return [self._row(m) for m in self.methods if any(r.result for r in self.of(m))]

    def contrasts(self) -> list[Contrast]:
        """The trained method with the highest pass@1 against each other trained method."""
        rows = [r for r in self.rows if r.method != BASE and "pass@1" in r.scores]
        if len(rows) < 2:
            return []
        best = max(rows, key=lambda row: row.scores["pass@1"].value).method
        return [self._contrast(best, row.method) for row in rows if row.method != best]

    def interquartile_means(self) -> dict[str, Estimate]:
        """{method: interquartile mean of pass@1 over runs × problems, with interval}."""
        return {
            row.method: estimate(
                self.scores(row.method, "pass@1"),
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
            "contrasts": [asdict(contrast) for contrast in self.contrasts()],
            "interquartile_means": {m: asdict(e) for m, e in self.interquartile_means().items()},
            "runs": [run.to_json() for run in self.runs],
        }

    def save(self, folder: Path) -> Path:
        """The path of ``results.json``, written into the folder."""
        path = folder / RESULTS
        path.write_text(json.dumps(_no_nan(self.to_json()), indent=1) + "\n", encoding="utf-8")
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
        return Row(
            method,
            tuple(run.seed for run in runs),
            {
                name: estimate(self.scores(method, name), rng=stream("bootstrap", method, name))
                for name in names
            },
            float(np.mean([run.seconds for run in runs])),
            float(np.mean([run.updates for run in runs])),
            sum(sum(result.failures.values()) for result in results),
        )

    def _contrast(self, best: str, other: str) -> Contrast:
        a, b = self.scores(best, "pass@1"), self.scores(other, "pass@1")
        found = difference(a, b, rng=stream("difference", best, other))
        return Contrast(best, other, found, probability_of_improvement(a, b))


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, values in per cent with their 95 % intervals."""
    head, *body = table_cells(rows)
    return as_markdown(head, body)


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
    "legal_and_right": "legal and right",
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


def _no_nan(value: Any) -> Any:
    """The JSON value with null for NaN, at any depth."""
    if isinstance(value, dict):
        return {key: _no_nan(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_no_nan(v) for v in value]
    return None if isinstance(value, float) and np.isnan(value) else value

"""Curves with intervals: from updates of one or several runs to a mean and how far to trust it.

One run gives its running mean; several give the mean of theirs. Pure functions of numbers, for
the page of ``srl-env view`` and the figures of ``srl-env plot``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from srl_env.seeding import stream

Axis = Literal["update", "tokens", "seconds"]
AXES: dict[Axis, str] = {
    "update": "updates",
    "tokens": "tokens",
    "seconds": "seconds of training",
}
"""What a curve may run along, and how that is headed."""

FRACTIONS = {
    "success": "nothing was solved",
    "dev": "nothing was solved",
    "groups/informative_fraction": "no group carried a signal",
}
"""The numbers that lie between 0 and 1, and what it means that one is 0 throughout."""

Array = NDArray[np.float64]

PLACES = 60
"""A curve is given at so many places at most."""

_WINDOW = 5
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Series:
    """One run's values (T,) along x (T,), ascending; stages: (T,), the stage of each.

    noisy: whether neighbours are averaged, as updates are and evaluations are not.
    """

    x: Array
    y: Array
    stages: tuple[str, ...]
    noisy: bool = True


@dataclass(frozen=True, slots=True)
class Band:
    """A curve with its 95 % interval; all (T,). over: what was resampled for it, for captions."""

    x: Array
    low: Array
    middle: Array
    high: Array
    over: str


@dataclass(frozen=True, slots=True)
class StageChange:
    """A change of stage, as "srl → rlvr". places: where on the axis each run makes it."""

    label: str
    places: tuple[float, ...]


def stage_changes(runs: Sequence[Sequence[Mapping[str, Any]]], axis: Axis) -> list[StageChange]:
    """The changes of stage in the updates of some runs, each half-way between two updates."""
    found: dict[str, list[float]] = {}
    for updates in runs:
        known = [u for u in updates if u.get(axis) is not None and u.get("stage")]
        for before, after in pairwise(known):
            if before["stage"] != after["stage"]:
                label = f"{before['stage']} → {after['stage']}"
                found.setdefault(label, []).append((before[axis] + after[axis]) / 2)
    return [StageChange(label, tuple(places)) for label, places in found.items()]


def pieces(x: Array, changes: Sequence[StageChange]) -> list[slice]:
    """The parts of a curve along x (T,), cut where all of its runs change their stage.

    A change that runs make at different places cuts nothing: their mean goes through it.
    """
    cuts = {0, len(x)}
    for change in changes:
        after = set(np.searchsorted(x, change.places).tolist())
        cuts |= after if len(after) == 1 else set()
    return [slice(begin, end) for begin, end in pairwise(sorted(cuts))]


def series(updates: Sequence[Mapping[str, Any]], name: str, axis: Axis) -> Series | None:
    """One number of a run's updates along an axis; None where no update has both."""
    known = [u for u in updates if u.get(name) is not None and u.get(axis) is not None]
    known = [u for u in known if np.isfinite(u[name])]
    if not known:
        return None
    return Series(
        np.array([u[axis] for u in known], np.float64),
        np.array([u[name] for u in known], np.float64),
        tuple(str(u.get("stage", "")) for u in known),
    )


def band(runs: Sequence[Series]) -> Band:
    """The curve of one run, or of several as one; raises ValueError for none.

    One run: the running mean over about a twentieth of its updates (at least 5, never across
    two stages), with a bootstrap interval over the updates in it; what is not noisy stays as it
    is, without an interval. Several: the mean of their running means where all of them are under
    way, with a bootstrap interval over the runs.
    """
    if not runs:
        raise ValueError("a band needs at least one series")
    if len(runs) == 1:
        return _running(runs[0])
    return _over_runs([_running(run) for run in runs])


def _running(run: Series) -> Band:
    if not run.noisy:
        return Band(run.x, run.y, run.y, run.y, "")
    size = len(run.x)
    half = max(_WINDOW, size // 20) // 2
    places = np.unique(np.linspace(0, size - 1, min(size, PLACES)).round().astype(int))
    borders = _borders(run.stages)
    windows = [
        run.y[max(place - half, borders[place][0]) : min(place + half + 1, borders[place][1])]
        for place in places
    ]
    rng = stream("running mean", size)
    intervals = np.array([_interval(window, rng) for window in windows])
    middle = np.array([window.mean() for window in windows])
    return Band(run.x[places], intervals[:, 0], middle, intervals[:, 1], "neighbouring updates")


def _borders(stages: Sequence[str]) -> list[tuple[int, int]]:
    """Of each update, where its stage begins and ends."""
    found: list[tuple[int, int]] = []
    begin = 0
    for end in range(1, len(stages) + 1):
        if end == len(stages) or stages[end] != stages[begin]:
            found += [(begin, end)] * (end - begin)
            begin = end
    return found


def _interval(values: Array, rng: np.random.Generator) -> Array:
    """The 95 % percentile bootstrap interval of the mean, (2,)."""
    drawn = values[rng.integers(len(values), size=(_RESAMPLES, len(values)))].mean(axis=1)
    return np.asarray(np.quantile(drawn, (0.025, 0.975)))


def _over_runs(curves: Sequence[Band]) -> Band:
    begin = max(curve.x[0] for curve in curves)
    end = max(begin, min(curve.x[-1] for curve in curves))
    x = np.unique(np.linspace(begin, end, PLACES))
    values = np.array([np.interp(x, curve.x, curve.middle) for curve in curves])  # (R, T)
    rng = stream("mean over runs", len(curves))
    draws = rng.integers(len(curves), size=(_RESAMPLES, len(curves)))
    low, high = np.quantile(values[draws].mean(axis=1), (0.025, 0.975), axis=0)
    return Band(x, low, values.mean(axis=0), high, f"{len(curves)} runs")

"""Curves with 95 % intervals, from the updates of one or several runs.

One run gives its running mean; several give the mean of theirs. Pure functions of numbers, for
``srl-env view``, ``srl-env plot`` and reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from srl_agents.evaluation.statistics import estimate
from srl_env.seeding import stream

Array = NDArray[np.float64]
Axis = Literal["update", "tokens", "seconds"]
AXES: dict[Axis, str] = {
    "update": "updates",
    "tokens": "tokens",
    "seconds": "seconds of training",
}
"""The axes of a curve, and their labels."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A number that is drawn.

    file: the start of its file names; "" for the viewer only. zero: for numbers between 0 and 1,
    what 0 throughout means; "" for others.
    """

    title: str
    file: str = ""
    zero: str = ""


CURVES = {
    "reward": Curve("mean reward in training", "reward"),
    "success": Curve("correct answers in training", "success", "nothing was solved"),
    "dev": Curve("correct on held-out problems", "dev-success", "nothing was solved"),
    "groups/informative_fraction": Curve(
        "fraction of groups with a signal", "informative", "no group had a signal"
    ),
    "length": Curve("tokens per completion"),
    "loss": Curve("loss"),
}
"""The curves of a run by the name of their metric ("dev": evaluations during training)."""

PLACES = 60
"""Largest number of points of a curve."""

_WINDOW = 5
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Series:
    """One run's values (T,) along x (T,), ascending; stages: (T,), the stage of each.

    noisy: whether neighbours are averaged: updates are, evaluations are not.
    """

    x: Array
    y: Array
    stages: tuple[str, ...]
    noisy: bool = True


@dataclass(frozen=True, slots=True)
class StageChange:
    """A change of stage, such as "srl → rlvr". places: where on the axis each run makes it."""

    label: str
    places: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Band:
    """A curve with its 95 % interval; arrays are (T,). over: what was resampled, for captions."""

    x: Array
    low: Array
    middle: Array
    high: Array
    over: str
    changes: Sequence[StageChange] = field(default=())

    @property
    def pieces(self) -> list[slice]:
        """The parts of the curve between places where all of its runs change their stage.

        A change that runs make at different places does not cut the curve.
        """
        cuts = {0, len(self.x)}
        for change in self.changes:
            after = set(np.searchsorted(self.x, change.places).tolist())
            cuts |= after if len(after) == 1 else set()
        return [slice(begin, end) for begin, end in pairwise(sorted(cuts))]


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


def series(updates: Sequence[Mapping[str, Any]], name: str, axis: Axis) -> Series | None:
    """One number of a run's updates along an axis; None if no update has both."""
    known = [u for u in updates if u.get(name) is not None and u.get(axis) is not None]
    known = [u for u in known if np.isfinite(u[name])]
    if not known:
        return None
    return Series(
        np.array([u[axis] for u in known], np.float64),
        np.array([u[name] for u in known], np.float64),
        tuple(str(u.get("stage", "")) for u in known),
    )


def band(runs: Sequence[Series], changes: Sequence[StageChange] = ()) -> Band:
    """The curve of one run, or of several as one; raises ValueError for none.

    One run: the running mean over about a twentieth of its updates (at least 5, never across
    two stages), with a bootstrap interval over these updates. A series that is not noisy stays
    unchanged, without an interval. Several runs: the mean of their running means where all of
    them have values, with a bootstrap interval over the runs.
    """
    if not runs:
        raise ValueError("a band needs at least one series")
    if len(runs) == 1:
        return _running(runs[0], changes)
    curves = [_running(run, ()) for run in runs]
    begin = max(curve.x[0] for curve in curves)
    end = max(begin, min(curve.x[-1] for curve in curves))
    x = np.unique(np.linspace(begin, end, PLACES))
    values = np.array([np.interp(x, curve.x, curve.middle) for curve in curves])  # (R, T)
    draws = stream("mean over runs", len(curves)).integers(
        len(curves), size=(_RESAMPLES, len(curves))
    )
    low, high = np.quantile(values[draws].mean(axis=1), (0.025, 0.975), axis=0)
    return Band(x, low, values.mean(axis=0), high, f"{len(curves)} runs", changes)


def _running(run: Series, changes: Sequence[StageChange]) -> Band:
    if not run.noisy:
        return Band(run.x, run.y, run.y, run.y, "", changes)
    size = len(run.x)
    half = max(_WINDOW, size // 20) // 2
    places = np.unique(np.linspace(0, size - 1, min(size, PLACES)).round().astype(int))
    borders: list[tuple[int, int]] = []  # of each update, where its stage begins and ends
    for _, group in groupby(run.stages):
        begin, count = len(borders), len(list(group))
        borders += [(begin, begin + count)] * count
    rng = stream("running mean", size)
    means = [
        estimate(
            run.y[max(place - half, borders[place][0]) : min(place + half + 1, borders[place][1])],
            rng=rng,
            resamples=_RESAMPLES,
        )
        for place in places
    ]
    low, middle, high = (
        np.array([getattr(m, part) for m in means]) for part in ("low", "value", "high")
    )
    return Band(run.x[places], low, middle, high, "neighbouring updates", changes)

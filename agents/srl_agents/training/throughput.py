"""How long an update takes when workers sample ahead of it: a model of throughput.

The learner updates for ``update_s`` and hands over weights for ``push_s``. Workers run jobs of
``job_s`` each. Of three bounds on the seconds from one update to the next, the largest holds:

- the learner: update_s + push_s;
- the workers: the jobs of an update, divided among them;
- staleness: groups begin when an update begins to collect, and are used n updates later at the
  latest. Until then there is time for sampling and n + 1 updates, less the n that overlap with it:
  (n + 1) · seconds ≥ sampling + update_s + push_s. With n = 0 both follow each other in turn.

A worker that fails loses half a job on average and needs ``recovery_s``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Bound = Literal["learner", "workers", "staleness"]


@dataclass(frozen=True, slots=True)
class Rates:
    """What a run is made of.

    update_s, push_s: of the learner, without waiting. job_s: of a job. groups: that an update
    takes, those without a signal and dropped ones included. workers: jobs at the same time.
    job_groups: groups of a job. failures_per_s: of one worker. recovery_s: of a lost worker.
    """

    update_s: float
    job_s: float
    groups: float
    workers: float
    max_staleness: int
    job_groups: float = 1.0
    push_s: float = 0.0
    failures_per_s: float = 0.0
    recovery_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Throughput:
    """seconds: from one update to the next. idle_fraction: of the learner. staleness: the mean, in
    updates. bound: what decides the seconds."""

    seconds: float
    idle_fraction: float
    staleness: float
    bound: Bound


def predict_throughput(rates: Rates) -> Throughput:
    """The seconds of an update, and what they are spent on."""
    learner = rates.update_s + rates.push_s
    job_s = rates.job_s * (1 + rates.failures_per_s * (rates.recovery_s + rates.job_s / 2))
    divided = rates.groups * job_s / (rates.workers * rates.job_groups)
    in_turn = max(divided, job_s) + learner
    bounds: dict[Bound, float] = {
        "learner": learner,
        "workers": divided if rates.max_staleness else 0.0,
        "staleness": in_turn / (rates.max_staleness + 1),
    }
    bound = max(bounds, key=lambda name: bounds[name])
    seconds = bounds[bound]
    staleness = float(rates.max_staleness)
    if bound == "workers":  # nothing waits for the learner
        staleness = min(staleness, job_s / seconds)
    return Throughput(seconds, 1 - learner / seconds, staleness, bound)

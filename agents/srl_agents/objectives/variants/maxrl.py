"""MaxRL: towards the likelihood of success."""

from __future__ import annotations

from dataclasses import dataclass

from srl_agents.objectives.choices import Aggregation, Scale
from srl_agents.objectives.grpo import GRPO


@dataclass(frozen=True, slots=True)
class MaxRL(GRPO):
    """GRPO with A = (r − mean) / mean, for rewards of 0 and 1.

    The gradient is, in expectation, Σ ∇pass@k / k over k = 1 … G − 1. As G grows this becomes
    ∇log p: a problem counts 1/p times what it counts in RLVR, so hard problems weigh more. It is
    that of the log-prob of the whole completion.

    Source: arXiv:2602.02710, which averages ∇log π over a group's successes, and subtracts its
    average over the group.
    """

    kind: str = "maxrl"
    scale: Scale = "mean"
    aggregation: Aggregation = "constant"

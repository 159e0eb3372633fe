"""RLOO: the other completions of the group are the baseline."""

from __future__ import annotations

from dataclasses import dataclass

from srl_agents.objectives.choices import Aggregation, Scale
from srl_agents.objectives.grpo import GRPO


@dataclass(frozen=True, slots=True)
class RLOO(GRPO):
    """REINFORCE with leave-one-out baseline: A = r − the mean of the other members' rewards.

    The gradient is that of the log-prob of the whole completion. The paper makes one step on each
    batch, where the clip has no effect, and subtracts its KL from the reward; here ``kl`` is a term
    of the loss.

    Source: arXiv:2402.14740, section 3.2.
    """

    kind: str = "rloo"
    scale: Scale = "leave-one-out"
    aggregation: Aggregation = "constant"

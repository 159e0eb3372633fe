"""Dr. GRPO: GRPO without its two biases."""

from __future__ import annotations

from dataclasses import dataclass

from srl_agents.objectives.choices import Aggregation, Scale
from srl_agents.objectives.grpo import GRPO


@dataclass(frozen=True, slots=True)
class DrGRPO(GRPO):
    """GRPO with A = r − mean, and every token divided by the same constant.

    So neither very easy nor very hard problems are scaled up, and a token of a long completion
    counts as much as one of a short completion.

    Source: arXiv:2503.20783, section 3.2.
    """

    kind: str = "dr-grpo"
    scale: Scale = "none"
    aggregation: Aggregation = "constant"

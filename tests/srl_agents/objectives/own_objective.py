"""A training objective, as somebody would write it in a file of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt
from torch import Tensor

from srl_agents.methods import Method, Stage, Starts
from srl_agents.objectives import Sampled, Scores


@dataclass(frozen=True, slots=True)
class Reinforce(Sampled):
    """REINFORCE with one baseline for the whole batch. strength: scales the loss."""

    kind: str = "tests.srl_agents.objectives.own_objective:Reinforce"
    strength: Annotated[float, Gt(0)] = 1.0

    def advantages(self, rewards: Tensor, groups: Tensor) -> Tensor:
        return rewards - rewards.mean()

    def loss_terms(self, scores: Scores) -> Iterator[Tensor]:
        yield -self.strength * scores.logprobs * scores.advantages[:, None]


OBJECTIVE = Reinforce(reward_mode="srl", max_steps=1, max_tokens=4)
METHOD = Method("reinforce", (Stage("own", OBJECTIVE, Starts(at="prefix"), batch=4, lr=1e-2),))

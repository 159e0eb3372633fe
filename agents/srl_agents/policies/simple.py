"""Policies without a model: the expert and random actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from srl_env.errors import BadOption
from srl_env.policy import Generation, Sampling
from srl_env.problem import ExpertStep
from srl_env.seeding import stream
from srl_env.text.format import CompletionFormat
from srl_env.text.prompt import Messages

if TYPE_CHECKING:
    from srl_env.environment import ReasoningEnv

_CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz +-*/=().,:;"


class ExpertPolicy:
    """Writes the expert's steps: the upper bound, and a test of the environment."""

    def act(self, envs: Sequence[ReasoningEnv]) -> list[Generation]:
        """The expert's next step in each environment; BadOption if it has none."""
        return [Generation(cast("ReasoningEnv", env.unwrapped).expert_completion()) for env in envs]


class RandomPolicy:
    """Writes random actions: the lower bound."""

    def __init__(
        self,
        seed: int = 0,
        *,
        candidates: Sequence[str] | None = None,
        characters: str = _CHARACTERS,
        max_length: int = 20,
        format: CompletionFormat | None = None,
    ) -> None:
        """candidates: actions to choose from with equal probability; None makes actions of 1 to
        ``max_length`` of the ``characters``. format: writes the completion around the action;
        None writes the action alone. Raises BadOption if there is nothing to choose from.
        """
        if candidates is not None and not candidates:
            raise BadOption("candidates must hold at least one action, or be None; it is empty")
        if candidates is None and (not characters or max_length < 1):
            raise BadOption("random actions need at least one character, and max_length >= 1")
        self._candidates, self._characters, self._max_length = candidates, characters, max_length
        self._format = format
        self._random = stream("random-policy", seed)

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        """A random completion for each list of messages; ``sampling`` matters only by its seeds."""
        randoms = [stream("random-policy", seed) for seed in sampling.seeds]
        return [Generation(self._completion(r)) for r in randoms or [self._random] * len(batch)]

    def _completion(self, random: np.random.Generator) -> str:
        action = self._action(random)
        return action if self._format is None else self._format.render(ExpertStep(action))

    def _action(self, random: np.random.Generator) -> str:
        if self._candidates is not None:
            return self._candidates[int(random.integers(len(self._candidates)))]
        length = int(random.integers(1, self._max_length + 1))
        drawn = random.integers(len(self._characters), size=length)
        return "".join(self._characters[i] for i in drawn)

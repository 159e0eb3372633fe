"""The interface of every training objective.

An objective is a frozen dataclass. Its fields are its settings in TOML, and its methods decide what
is collected, which groups are formed, and which loss terms are summed. It takes numbers and tensors
and returns numbers and tensors; the trainer owns models, clocks and files.

A new one is one file. Name it in a configuration as ``objective.kind = "my_module:MyObjective"``,
or add a line to ``srl_agents.objectives.registry``::

    @dataclass(frozen=True, slots=True)
    class Reinforce(Sampled):
        kind: str = "my_module:Reinforce"

        def advantages(self, rewards, groups):
            return rewards - rewards.mean()

        def loss_terms(self, scores):
            yield -scores.logprobs * scores.advantages[:, None]

Torch is imported inside methods: configurations are read without it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from srl_agents.checked import Checked
from srl_agents.objectives.choices import Aggregation
from srl_agents.objectives.metrics import Metrics
from srl_agents.objectives.summary import change

if TYPE_CHECKING:
    from torch import Tensor

    from srl_agents.objectives.batch import Batch, TrainingBatches
    from srl_agents.objectives.groups import Signal
    from srl_agents.objectives.requests import Collected, Source
    from srl_agents.objectives.teacher import TeacherRequest


@dataclass(frozen=True, slots=True)
class Scores:
    """A micro-batch of B completions, padded to T tokens, as the loss sees it.

    logprobs: (B, T), with gradient. mask: (B, T), True where there is a token. advantages: (B,).
    old, reference: (B, T) log-probs before this update's first step, and of the run's first
    weights. sampled: (B, T) as the sampler reported them. teacher: (B, T), the teacher's log-probs.
    divergence: (B, T) from the teacher, with gradient. expert: (B, T), True where a token is an
    expert's and was never sampled; ``sampled`` then has the trainer's own log-prob. entropy:
    (B, T), of the distribution that each token is from, without gradient. All after advantages may
    be None.
    """

    logprobs: Tensor
    mask: Tensor
    advantages: Tensor
    old: Tensor | None = None
    sampled: Tensor | None = None
    reference: Tensor | None = None
    teacher: Tensor | None = None
    divergence: Tensor | None = None
    expert: Tensor | None = None
    entropy: Tensor | None = None


class Objective(Checked, ABC):
    """What a stage optimises. Subclasses redeclare, as fields, what can be set.

    kind: the name in a configuration. aggregation: how tokens are averaged. samples: whether the
    policy samples completions. compares: whether their rewards are compared. temperature: at which
    log-probs are scored. passes: how often each batch is trained on. minibatches: optimiser steps
    per pass. max_drop: see ``GRPO``.
    """

    __slots__ = ()
    kind: str
    aggregation: Aggregation
    samples: bool = False
    compares: bool = False
    temperature: float = 1.0
    passes: int = 1
    minibatches: int = 1
    max_drop: float | None = None

    @abstractmethod
    def collect(self, source: Source, refill: bool = True) -> Collected:
        """What an update is made from. refill: whether too few groups are topped up."""

    @abstractmethod
    def training_batches(
        self, collected: Collected, batch: int, max_steps: int
    ) -> TrainingBatches | None:
        """What is trained on; None if there is nothing to learn from.

        batch: groups or demonstrations of a full update. max_steps: of an episode.
        """

    @abstractmethod
    def loss_terms(self, scores: Scores) -> Iterator[Tensor]:
        """The terms of the loss, each (B, T). The learner sums them with the batch's weights, of
        which there may be a column for each term."""

    @property
    def needs_reference(self) -> bool:
        """Whether a loss term compares with the run's first weights."""
        return False

    @property
    def env_measure(self) -> str | None:
        """The measure of steps that its episodes need; None for the environment's."""
        return None

    @property
    def needs_expert(self) -> bool:
        """Whether it needs problems with expert trajectories."""
        return False

    @property
    def needs_thoughts(self) -> bool:
        """Whether the experts' thoughts must be recorded."""
        return False

    @property
    def needs_verifier(self) -> bool:
        """Whether the verifier must be able to judge the policy's answers."""
        return False

    @property
    def needs_teacher(self) -> bool:
        """Whether a teacher must be named, and none is."""
        return False

    @property
    def teacher_request(self) -> TeacherRequest | None:
        """What scores the completions a second time; None if nothing does."""
        return None

    def at(self, progress: float) -> Self:
        """The objective after a fraction of the stage's budget, 0 … 1; by default it stays."""
        return self

    def with_teacher(self, batch: Batch, prompts: tuple[tuple[int, ...], ...]) -> Batch:
        """The batch with the teacher's prompts, one for each completion."""
        return replace(batch, teacher_prompts=prompts)

    @property
    def needs_checker(self) -> bool:
        """Whether the environment must say which steps are acceptable."""
        return False

    @property
    def needs_correction(self) -> bool:
        """Whether samples of earlier weights would be taken for the current weights' own."""
        return self.compares and getattr(self, "sampler_correction", None) is None

    def needs_old_logprobs(self, steps: int) -> bool:
        """Whether the loss compares with the weights before the update. steps: in one pass."""
        return self.passes * steps > 1

    def numbers(self, scores: Scores) -> dict[str, Tensor]:
        """Further numbers for the log, each summed over the tokens of a micro-batch."""
        return {}

    def signals(self, collected: Collected) -> Mapping[tuple[int, int], Signal]:
        """{(episode, step): its signal} for the log of rollouts."""
        return {}

    def score(self, metrics: Metrics) -> float:
        """The number that a stage's ``until`` rules watch; higher is better."""
        return -metrics["loss"]

    @property
    def highest_score(self) -> float:
        """A bound of ``score`` and of the reward of a start, for mistakes in a stage."""
        return math.inf

    def summary(self, updates: Sequence[Metrics]) -> str:
        """What was learned in these updates of a stage, or why nothing was."""
        return change("the loss", [update["loss"] for update in updates if "loss" in update])

    def why_untrained(self, updates: Sequence[Metrics], form: str) -> str:
        """Why these updates trained on nothing. form: what the environment's format asks for."""
        return "There was nothing to train on."

    def start_problems(self, at: str) -> Iterator[str]:
        """What is wrong if episodes start ``at`` "problem" or "prefix", in words."""
        yield from ()

    def decoding(self) -> dict[str, Any]:
        """How a policy trained by it writes: settings of an evaluation."""
        return {}

    @abstractmethod
    def __str__(self) -> str:
        """What it optimises, in a few words."""

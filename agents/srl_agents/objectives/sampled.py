"""Objectives on groups of the policy's own completions."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from srl_agents.objectives.base import Objective
from srl_agents.objectives.choices import Aggregation, Grouping, Label
from srl_agents.objectives.groups import Group, Signal, groups_of
from srl_agents.objectives.labels import relabelled
from srl_agents.objectives.metrics import Metrics
from srl_agents.objectives.no_signal import why_no_group
from srl_agents.objectives.requests import Collected, GroupRequest, Source
from srl_agents.objectives.summary import change
from srl_env.errors import BadOption
from srl_env.policy import Sampling
from srl_env.rewards import OF_TRAINING, Continuation, Granularity, get_reward_mode, needs_verifier
from srl_env.rollout import Episode

if TYPE_CHECKING:
    from torch import Tensor

    from srl_agents.objectives.batch import Batch, TrainingBatches


@dataclass(frozen=True, slots=True)
class Sampled(Objective):
    """An objective on groups of the policy's own completions; ``GRPO`` is one.

    reward_mode: how episodes are rewarded. measure: of steps, by name
    (``srl_env.rewards.measures``), or "log-likelihood", for reward mode srl; None is the
    environment's. continuation, granularity: None is
    the reward mode's default. max_steps: of an episode; None is the environment's.
    group_size: completions per group. temperature, max_tokens: of one completion (a step, or a
    solution).
    label: what final answers are rewarded by: "answer", as the reward mode says; or, as a control,
    1 for the "majority" answer of the group, or for its most frequent "wrong" one.
    grouping: what is compared: "step", the completions of one step, or "episode", all episodes of a
    start. None is "step" under continuation "expert", where they share a context, else "episode".
    mask_truncated: completions that reach ``max_tokens`` are rewarded and compared, but not trained
    on.
    min_std: a group is trained on if the population std of its rewards is larger.
    max_groups: sampling stops at this many times the batch; 1 never refills. A schedule's further
    tries of a problem (BREAD) do not count. With fewer groups than the batch the step is shorter.
    aggregation: how tokens are averaged: "sequence", over each sequence and then over sequences;
    "token", over all tokens; "constant", the sum divided by the longest possible sequence.
    """

    reward_mode: str = "rlvr"
    measure: str | None = None
    continuation: Continuation | None = None
    granularity: Granularity | None = None
    max_steps: Annotated[int | None, Ge(1)] = None
    group_size: Annotated[int, Ge(2)] = 8
    temperature: Annotated[float, Ge(1e-3)] = 1.0
    max_tokens: Annotated[int, Ge(1)] = 256
    label: Label = "answer"
    grouping: Grouping | None = None
    mask_truncated: bool = False
    min_std: Annotated[float, Ge(0)] = 1e-4
    max_groups: Annotated[float, Ge(1)] = 3.0
    aggregation: Aggregation = "sequence"

    samples = True
    compares = True

    def __post_init__(self) -> None:
        Objective.__post_init__(self)
        if self.measure == OF_TRAINING and self.reward_mode in ("hybrid", "holistic"):
            raise BadOption(
                f"measure {OF_TRAINING!r} needs reward_mode 'srl'; got {self.reward_mode!r}"
            )

    @abstractmethod
    def advantages(self, rewards: Tensor, groups: Tensor) -> Tensor:
        """The advantage of each member, (N,). groups: (N,) the number of each one's group."""

    def rewards(self, group: Group) -> Sequence[float]:
        """What the members' advantages come from; the filter reads the members' own rewards."""
        return [member.reward for member in group.members]

    @property
    def needs_expert(self) -> bool:
        """Whether the reward compares with the expert, or a teacher sees the solution."""
        request = self.teacher_request
        if request is not None and request.hint > 0:
            return True
        return get_reward_mode(self.reward_mode).needs_expert

    @property
    def needs_verifier(self) -> bool:
        """Whether the reward or the policy's own continuation has a verdict."""
        mode = get_reward_mode(self.reward_mode)
        continuation = self.continuation or mode.default_continuation
        return continuation == "policy" or needs_verifier(mode)

    @property
    def needs_checker(self) -> bool:
        """Whether the measure asks the environment."""
        return self.measure == "accepts"

    def collect(self, source: Source, refill: bool = True) -> Collected:
        """Groups of episodes."""
        return source.sample(self.request(refill))

    def request(self, refill: bool) -> GroupRequest:
        """The groups it asks for."""
        return GroupRequest(
            self.reset_options,
            Sampling(self.temperature, self.max_tokens),
            self.group_size,
            self.max_groups if refill else 1.0,
            self.least_std,
            self.form,
            model_measure=self.measure == OF_TRAINING and self.reward_mode == "srl",
        )

    def form(self, episodes: Sequence[Episode], experts: Mapping[int, Episode]) -> list[Group]:
        """The groups of the policy's episodes. experts: {start: the expert's}, if requested."""
        return self.groups(episodes)

    @property
    def reset_options(self) -> dict[str, Any]:
        """The options of its episodes, for the environment's ``reset``."""
        names = ("reward_mode", "measure", "continuation", "granularity", "max_steps")
        options = {name: getattr(self, name) for name in names}
        if self.measure == OF_TRAINING:
            del options["measure"]
        return {name: value for name, value in options.items() if value is not None}

    @property
    def env_measure(self) -> str | None:
        """The measure by name, unless the trained model computes it."""
        return self.reset_options.get("measure")

    @property
    def least_std(self) -> float:
        """The std of rewards above which a group is trained on; below 0 for all groups."""
        return self.min_std

    def groups(self, episodes: Sequence[Episode]) -> list[Group]:
        """What is compared with what; see ``groups_of``."""
        groups = groups_of(episodes, self.grouping, self.mask_truncated)
        return groups if self.label == "answer" else relabelled(groups, episodes, self.label)

    def training_batches(
        self, collected: Collected, batch: int, max_steps: int
    ) -> TrainingBatches | None:
        """The groups with a signal, in as many batches as there are minibatches."""
        from srl_agents.objectives.batch import TrainingBatches, unanimous

        trained = [g for g in collected.trained if any(m.steps for m in (*g.members, *g.beside))]
        max_steps = self.max_steps or max_steps
        if not trained:
            return None
        steps, fraction = optimizer_steps(len(trained), batch, self.minibatches)
        batches = (self.make_batch(trained[i::steps], max_steps) for i in range(steps))
        alike = None if self.max_drop is None else unanimous(collected.groups)
        return TrainingBatches(tuple(batches), fraction, alike)

    def make_batch(self, groups: Sequence[Group], max_steps: int) -> Batch:
        """The groups' completions with their advantages and weights in the loss.

        max_steps: of an episode. Aggregation "constant" divides by this many times ``max_tokens``
        if a member of a group is an episode.
        """
        from srl_agents.objectives.batch import make_batch, rewards_of

        steps = max_steps if any(group.many_steps for group in groups) else 1
        advantages = self.advantages(*rewards_of(groups, self.rewards))
        return make_batch(groups, advantages, self.aggregation, self.max_tokens * steps)

    def start_problems(self, at: str) -> Iterator[str]:
        """Labels are for the policy's own final answers."""
        default = get_reward_mode(self.reward_mode).default_continuation
        if self.label != "answer" and (self.continuation or default) == "expert":
            yield "objective.label is for final answers; set objective.continuation to 'policy'"

    def signals(self, collected: Collected) -> dict[tuple[int, int], Signal]:
        """{(episode, step): its signal}; a step that a failure left without a group has none."""
        from srl_agents.objectives.batch import rewards_of

        rewards, numbers = rewards_of(collected.groups, self.rewards)
        advantages = iter(self.advantages(rewards, numbers).tolist())
        found: dict[tuple[int, int], Signal] = {}
        for group, outcome in zip(collected.groups, collected.outcomes, strict=True):
            for member in group.members:
                signal = Signal(next(advantages), group.std, outcome)
                found |= {(member.episode, step.index): signal for step in member.steps}
        return found

    def score(self, metrics: Metrics) -> float:
        """The mean reward."""
        return metrics.get("reward", 0.0)

    @property
    def highest_score(self) -> float:
        """The mode's highest reward; infinite if it states none, or steps' rewards may add up."""
        mode = get_reward_mode(self.reward_mode)
        shown = getattr(mode, "reward_range", None)
        once = (
            (self.continuation or mode.default_continuation) == "expert"
            or (self.granularity or mode.default_granularity) == "solution"
            or self.reward_mode == "rlvr"
        )
        return shown[1] if shown is not None and once else math.inf

    def summary(self, updates: Sequence[Metrics]) -> str:
        """How reward and success changed, and how many groups were trained on."""
        sampled, trained = (
            sum(update.get(f"groups/{name}", 0) for update in updates)
            for name in ("sampled", "trained")
        )
        if not trained:
            return f"nothing, because no group was trained on. {self.why_untrained(updates, '')}"
        parts = [
            change(f"the mean reward {self.reward_mode!r}", _values(updates, "reward")),
            f"{trained:.0f} of {sampled:.0f} groups trained on",
        ]
        success = _values(updates, "success")
        if success:
            correct = change("the fraction of correct answers", success)
            parts.insert(1, correct if any(success) else "no episode was correct")
        return ", ".join(parts)

    def why_untrained(self, updates: Sequence[Metrics], form: str) -> str:
        """Why no group carried a signal."""
        return why_no_group(updates, self, form)

    def decoding(self) -> dict[str, Any]:
        """The granularity and token limit of training."""
        default = get_reward_mode(self.reward_mode).default_granularity
        return {"granularity": self.granularity or default, "max_tokens": self.max_tokens}

    def __str__(self) -> str:
        return f"{type(self).__name__} on reward `{self.reward_mode}`"


def optimizer_steps(trained: int, batch: int, minibatches: int) -> tuple[int, float]:
    """How many optimiser steps an update makes on its groups, and what each counts as.

    trained: at least 1 and at most ``batch`` groups. In a full batch each step counts as 1.
    Together they count as trained / batch of that, also with fewer groups than minibatches.
    """
    whole = min(minibatches, batch)
    steps = min(whole, trained)
    return steps, trained * whole / (batch * steps)


def _values(updates: Sequence[Metrics], name: str) -> list[float]:
    return [update[name] for update in updates if name in update]

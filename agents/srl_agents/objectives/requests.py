"""What an objective asks for, and what it receives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from srl_agents.objectives.choices import Aggregation
from srl_agents.objectives.groups import Group, Outcome, outcomes
from srl_agents.objectives.metrics import (
    Metrics,
    environment_metrics,
    episode_metrics,
    expert_metrics,
    group_metrics,
    sampled_tokens,
)
from srl_env.policy import Sampling
from srl_env.rewards import Granularity
from srl_env.rollout import Episode, Start, Step

if TYPE_CHECKING:
    from srl_agents.objectives.batch import Batch


@dataclass(frozen=True, slots=True)
class GroupRequest:
    """Groups of the policy's own episodes.

    options: for the environment's ``reset``. size: episodes of one start. max_groups: sampling
    stops at this many times the batch, without a schedule's further tries. min_std: a group counts
    if the std of its rewards is larger. form: makes groups of episodes, and of the expert's, by
    start. experts: whether the expert's episode from each start is wanted. continued: how many
    episodes of a start continue the expert steps that it is given, if not all of them.
    model_measure: whether the trained model measures the steps, after the rollout
    ("log-likelihood").
    """

    options: Mapping[str, Any]
    sampling: Sampling
    size: int
    max_groups: float
    min_std: float
    form: Callable[[Sequence[Episode], Mapping[int, Episode]], list[Group]]
    experts: bool = False
    continued: int = 0
    model_measure: bool = False


@dataclass(frozen=True, slots=True)
class DemonstrationRequest:
    """Completions of the expert; thoughts: with the expert's recorded thoughts."""

    granularity: Granularity
    thoughts: bool
    aggregation: Aggregation


@dataclass(slots=True)
class Collected:
    """What was collected for one update: the policy's episodes in groups, or demonstrations.

    batch: how many groups are trained on at most. min_std: as in ``GroupRequest``. starts: of the
    episodes, by the number of their group. experts: the expert's episode from each of them, for
    groups with expert rows. profiled: episodes that only chose the starts. dropped: those of
    weights that are too old. start_metrics: numbers of the starts.
    seconds_sampling: inside the policy. seconds_environment: in environments and rewards. If
    workers run the episodes, both are parts of the time that passed here, in the workers' ratio. If
    they run them ahead, both are the workers' own seconds.
    seconds_waiting: for other processes; 0 if there are none.
    """

    batch: int
    min_std: float = 0.0
    episodes: list[Episode] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    starts: dict[int, Start] = field(default_factory=dict)
    experts: dict[int, Episode] = field(default_factory=dict)
    demonstrations: Batch | None = None
    profiled: list[Episode] = field(default_factory=list)
    dropped: list[Episode] = field(default_factory=list)
    start_metrics: Metrics = field(default_factory=dict)
    seconds_sampling: float = 0.0
    seconds_environment: float = 0.0
    seconds_waiting: float = 0.0

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcome of each group."""
        return outcomes(self.groups, self.min_std, self.batch)

    @property
    def trained(self) -> list[Group]:
        """The groups that are trained on."""
        return [g for g, o in zip(self.groups, self.outcomes, strict=True) if o == "trained"]

    @property
    def informative(self) -> int:
        """How many groups have rewards that differ enough."""
        return sum(group.informative(self.min_std) for group in self.groups)

    @property
    def informative_fraction(self) -> float:
        """The same as a fraction of all groups; 0 if there are no groups."""
        return self.informative / len(self.groups) if self.groups else 0.0

    @property
    def tokens(self) -> int:
        """How many tokens the policy sampled."""
        return sampled_tokens(self.episodes)

    def metrics(self) -> Metrics:
        """Numbers of the episodes and groups, and the speed of each phase."""
        if not self.episodes:
            return {**self.start_metrics, "time/environment": self.seconds_environment}
        return {
            **episode_metrics(self.episodes),
            **group_metrics(self.groups, len(self.trained), self.min_std),
            **environment_metrics(self.episodes),
            **self._informative_by_environment(),
            **expert_metrics(self.experts.values()),
            **self.start_metrics,
            "time/sample": self.seconds_sampling,
            "time/environment": self.seconds_environment,
            **({"time/wait": self.seconds_waiting} if self.seconds_waiting else {}),
            "tokens_per_s/sample": _rate(self.tokens, self.seconds_sampling),
            "tokens_per_s/environment": _rate(self.tokens, self.seconds_environment),
        }

    def _informative_by_environment(self) -> Metrics:
        """The fraction of each environment's groups that are informative, if there are several."""
        found: dict[str, list[bool]] = {}
        for group in self.groups:
            if name := self.starts[group.start].env if group.start in self.starts else "":
                found.setdefault(name, []).append(group.informative(self.min_std))
        return {
            f"groups/informative_fraction/{name}": sum(each) / len(each)
            for name, each in found.items()
        }


class Source(Protocol):
    """Where an update's material comes from; the update's starts and seeds are part of it."""

    def sample(self, request: GroupRequest) -> Collected:
        """Groups of episodes, sampled until the batch is full or the limit is reached."""
        ...

    def examples(self, samples: Sequence[tuple[Episode, Step]], room: int) -> Batch | None:
        """The expert's steps, written in the format, for the prompts of these samples.

        room: the most tokens of a sample that become a thought. None without an expert's step.
        """
        ...

    def demonstrate(self, request: DemonstrationRequest) -> Collected:
        """One demonstration for each start of the batch."""
        ...


def _rate(tokens: int, seconds: float) -> float:
    """Tokens per second; 0 in a process that had nothing to do."""
    return tokens / seconds if seconds else 0.0

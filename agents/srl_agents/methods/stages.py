"""Training methods: a method is a list of stages, and a stage is plain data.

A stage says where episodes start, how they are rewarded, which objective updates the policy,
and when to go on to the next stage. The trainer knows stages only; the methods that ship are
at the bottom, and another one is another tuple of the same parts::

    register_method(Method("holistic-rlvr", (HOLISTIC, RLVR)))
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from srl_env.errors import BadOption
from srl_env.problem import Targets
from srl_env.rewards import Continuation, Granularity

Scale = Literal["std", "none"]
"""What an advantage is divided by; see ``srl_agents.objectives.advantage``."""

Aggregation = Literal["sequence", "token", "constant"]
"""How a batch's tokens are averaged; see ``srl_agents.objectives.loss``."""

_READ = {"extra": "forbid", "allow_inf_nan": False}  # by srl_agents.runs, from files


@dataclass(frozen=True, slots=True)
class Starts:
    """Where episodes start.

    at: "problem", with nothing solved yet; or "prefix", after k expert steps, for every k, so
    that (problem, k) is a start of its own.
    targets: the step that follows is one of 1 … N−1 ("paper") or 1 … N ("all").
    revisit: the chance to take a start again whose group carried no signal when it was last
    sampled; 1 draws all alike, less spends sampling on what is still unsettled.
    together: so many starts of one problem, at "prefix", are drawn one after another, in random
    order. What their prompts have in common is computed once; 1 mixes all.
    """

    __pydantic_config__ = _READ

    at: Literal["problem", "prefix"] = "problem"
    targets: Targets = "all"
    revisit: float = 1.0
    together: int = 1


@dataclass(frozen=True, slots=True)
class GRPO:
    """Group-relative policy gradient on the policy's own completions.

    group_size: completions per group. reward_mode, continuation, granularity, max_steps: given
    to ``reset``; None is the mode's or the environment's own default.
    temperature, max_tokens: of one completion (a step, or a solution).
    min_std: a group is kept if the population std of its rewards is larger.
    max_groups: sampling goes on until the batch is full of kept groups, or this many times the
    batch was sampled; 1 never refills. With fewer groups than the batch the step is shorter.
    scale, aggregation, clip_low, clip_high: see ``advantage`` and ``loss``.
    passes: how often each batch is gone through; minibatches: into how many parts its groups
    are cut, with one optimiser step each. 1 and 1 is on-policy.
    sampler_cap: C of the sampler correction; None trusts the sampler's log-probs.
    kl, entropy: coefficients of the KL to the run's first weights and of the entropy bonus.
    max_drop: the share of its probability that an update may take from a completion on which all
    of a group agreed; an update that takes more from any is cut in half, at most six times, until
    none loses more. Such a group has no deviation, so no gradient speaks for what it does: neither
    for what all do right, nor for what all do wrong, which goes more slowly too. None does not
    look, and keeps no copy of the weights.
    """

    __pydantic_config__ = _READ

    kind: Literal["grpo"] = "grpo"
    reward_mode: str = "rlvr"
    continuation: Continuation | None = None
    granularity: Granularity | None = None
    max_steps: int | None = None
    group_size: int = 8
    temperature: float = 1.0
    max_tokens: int = 256
    min_std: float = 1e-4
    max_groups: float = 3.0
    scale: Scale = "std"
    aggregation: Aggregation = "sequence"
    clip_low: float = 0.2
    clip_high: float = 0.2
    passes: int = 1
    minibatches: int = 1
    sampler_cap: float | None = None
    kl: float = 0.0
    entropy: float = 0.0
    max_drop: float | None = None


@dataclass(frozen=True, slots=True)
class NLL:
    """Likelihood of the expert's own completions: supervised fine-tuning.

    demonstration: "outline", the expert's actions without thinking, which is what most data
    shows; "reasoning", with the expert's thoughts where they were recorded.
    granularity: one demonstration per step, or one whole solution.
    """

    __pydantic_config__ = _READ

    kind: Literal["nll"] = "nll"
    demonstration: Literal["outline", "reasoning"] = "outline"
    granularity: Granularity = "step"
    aggregation: Aggregation = "token"


@dataclass(frozen=True, slots=True)
class Until:
    """When a stage is over before its share of the budget is; the first rule that holds.

    informative: with the *next* stage's episodes, at least this share of probed groups shows
    more than one reward, so that it has something to learn from; probed every ``probe_every``
    updates with ``probe_groups`` groups on training problems.
    plateau: the mean reward of the last this many updates is less than ``min_gain`` above the
    best earlier mean of as many.
    reward: the mean reward of the last 20 updates is at least this.
    updates: this many updates have been made.
    """

    __pydantic_config__ = _READ

    updates: int | None = None
    reward: float | None = None
    informative: float | None = None
    probe_every: int = 10
    probe_groups: int = 16
    plateau: int | None = None
    min_gain: float = 0.005

    @property
    def never(self) -> bool:
        """Whether no rule is set, so that the stage takes its whole share."""
        return (self.updates, self.reward, self.informative, self.plateau) == (None,) * 4


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a method.

    batch: groups (GRPO) or demonstrations (NLL) per update.
    schedule: the learning rate over the stage's budget after a rise over the first ``warmup``
    of it; "constant", or "cosine" or "linear" down to 0.
    betas: of Adam in this stage, which begins with a new one; None for the run's.
    fraction: how much of the run's whole budget it may take. None divides what the other fractions
    leave evenly among the stages that name none; the last stage takes whatever is left.
    """

    __pydantic_config__ = _READ

    name: str
    objective: GRPO | NLL
    starts: Starts = Starts()
    batch: int = 32
    lr: float = 1e-5
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup: float = 0.0
    betas: tuple[float, float] | None = None
    fraction: float | None = None
    until: Until = Until()

    def __post_init__(self) -> None:
        problem = next(_problems(self), None)
        if problem:
            raise BadOption(f"stage {self.name!r}: {problem}")


@dataclass(frozen=True, slots=True)
class Method:
    """A named list of at least one stage; stage names differ.

    source: where the method is from, a paper or a sentence; not part of what it does.
    """

    name: str
    stages: tuple[Stage, ...]
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) < len(names):
            raise BadOption(
                f"method {self.name!r} needs at least one stage, and names that differ; got {names}"
            )
        for stage, following in zip(self.stages, (*self.stages[1:], None), strict=True):
            if stage.until.informative is not None:
                _check_probe(stage, following)
        _check_fractions(self)


def _check_probe(stage: Stage, following: Stage | None) -> None:
    """Raises BadOption where ``until.informative`` has no sampled stage to look forward to."""
    if following is None:
        why = "it is the last, so there is no next stage to probe"
    elif isinstance(following.objective, NLL):
        why = f"the next one, {following.name!r}, is not sampled"
    else:
        return
    raise BadOption(f"stage {stage.name!r}: until.informative cannot be used, {why}")


def _check_fractions(method: Method) -> None:
    """Raises BadOption for a stage to which the other fractions are certain to leave nothing."""
    for number, stage in enumerate(method.stages):
        before = [other.fraction for other in method.stages[:number] if other.until.never]
        after = [other.fraction for other in method.stages[number + 1 :] if stage.fraction is None]
        taken = math.fsum(fraction or 0.0 for fraction in before + after)
        if taken > 1 - 1e-9:
            raise BadOption(
                f"method {method.name!r}: the fractions of the other stages must leave some of the"
                f" budget for stage {stage.name!r}; got {taken:g}. Fix: name smaller fractions, or"
                " none: stages that name none divide what is left"
            )


def _problems(stage: Stage) -> Iterator[str]:
    """What is wrong with the stage's numbers and their combination, in words."""
    for name, low, high in _RANGES:
        value = _value_at(stage, name)
        if value is None:
            continue
        if not -_INF < value < _INF:
            yield f"{name} is a finite number; got {value!r}"
        elif not low <= value <= high:
            limit = f"at least {low:g}" if high == _INF else f"between {low:g} and {high:g}"
            yield f"{name} is {limit}; got {value!r}"
    if stage.betas is not None and not all(0 <= beta < 1 for beta in stage.betas):
        yield f"betas are at least 0 and below 1; got {list(stage.betas)}"
    if stage.starts.together > 1 and stage.starts.at == "problem":
        yield "a problem has one start where starts.at is 'problem'; leave starts.together at 1"
    if isinstance(stage.objective, NLL):
        yield from _demonstration_problems(stage, stage.objective)


def _demonstration_problems(stage: Stage, objective: NLL) -> Iterator[str]:
    if objective.granularity == "solution" and stage.starts.at == "prefix":
        yield "whole solutions start at the problem; set starts.at to 'problem'"
    if objective.granularity == "step" and stage.starts.at == "problem":
        yield "a step is demonstrated after each expert prefix; set starts.at to 'prefix'"
    if objective.aggregation == "constant":
        yield "objective.aggregation 'constant' is for grpo; choose 'token' or 'sequence'"


def _value_at(stage: Stage, name: str) -> float | None:
    """The number at a dotted name; None where it is None or the objective has no such field."""
    value: object = stage
    for part in name.split("."):
        value = getattr(value, part, None)
    return value if isinstance(value, int | float) else None


_INF = float("inf")
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("batch", 1, _INF),
    ("lr", 0, _INF),
    ("warmup", 0, 1),
    ("fraction", 0, 1),
    ("starts.revisit", 0.01, 1),
    ("starts.together", 1, _INF),
    ("until.updates", 1, _INF),
    ("until.reward", -_INF, _INF),
    ("until.informative", 0, 1),
    ("until.probe_every", 1, _INF),
    ("until.probe_groups", 1, _INF),
    ("until.plateau", 1, _INF),
    ("until.min_gain", -_INF, _INF),
    ("objective.max_steps", 1, _INF),
    ("objective.group_size", 2, _INF),
    ("objective.temperature", 1e-3, _INF),
    ("objective.max_tokens", 1, _INF),
    ("objective.min_std", 0, _INF),
    ("objective.max_groups", 1, _INF),
    ("objective.clip_low", 0, 1),
    ("objective.clip_high", 0, _INF),
    ("objective.passes", 1, _INF),
    ("objective.minibatches", 1, _INF),
    ("objective.sampler_cap", 0, _INF),
    ("objective.kl", 0, _INF),
    ("objective.entropy", 0, _INF),
    ("objective.max_drop", 0.01, 0.99),
)

"""Training methods: a method is a list of stages, and a stage is plain data.

A stage says where episodes start, which objective updates the policy, and when the next stage
begins. ``srl_agents.methods.shipped`` has the methods that ship. Another one is another tuple of
the same parts::

    register_method(Method("holistic-rlvr", (HOLISTIC, RLVR)))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Lt

from srl_agents.checked import Checked
from srl_agents.methods.mixed.auxiliary import AuxiliaryObjective
from srl_agents.methods.prefix import PrefixSchedule
from srl_agents.methods.profile import Profile
from srl_agents.methods.subset import Diverse
from srl_agents.objectives.base import Objective
from srl_agents.objectives.choices import Need
from srl_agents.objectives.metrics import Metrics
from srl_agents.objectives.summary import change
from srl_env.errors import BadOption
from srl_env.problem import Targets

Fraction = Annotated[float, Ge(0), Le(1)]
Beta = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True, slots=True)
class Starts(Checked):
    """Where episodes start.

    at: "problem", with nothing solved yet; or "prefix", after k expert steps, for every k, so
    that (problem, k) is a start of its own.
    targets: the step that follows is one of 1 … N−1 ("paper") or 1 … N ("all").
    revisit: the chance to draw a start again whose group carried no signal when it was last
    sampled; 1 draws all alike.
    together: how many starts of one problem, at "prefix", are drawn one after another, in random
    order. Their common prefix is computed once; 1 mixes all.
    prefix: with at "problem", a schedule of how many expert steps each start is given; None gives
    none. place: where they are given: "replayed", as steps that were taken; or "hint", in the
    prompt beside the problem, whose whole solution is then to be written.
    profile: which start points are kept after each was sampled; None keeps all. subset: which
    problems are drawn at all; None draws all.
    """

    at: Literal["problem", "prefix"] = "problem"
    targets: Targets = "all"
    revisit: Annotated[float, Ge(0.01), Le(1)] = 1.0
    together: Annotated[int, Ge(1)] = 1
    prefix: PrefixSchedule | None = None
    place: Literal["replayed", "hint"] = "replayed"
    profile: Profile | None = None
    subset: Diverse | None = None


@dataclass(frozen=True, slots=True)
class Until(Checked):
    """When a stage ends before its part of the budget is used up; the first rule that holds.

    informative: with the *next* stage's episodes, at least this fraction of probed groups has
    more than one reward, so that it can learn. probe_every: updates between two probes.
    probe_groups: groups of a probe, on training problems.
    plateau: the mean reward of this many last updates is less than ``min_gain`` above the best
    earlier mean of the same number of updates. min_gain: of ``plateau``.
    reward: the mean reward of the last ``reward_updates`` updates is at least this.
    updates: this many updates have been made.
    """

    updates: Annotated[int | None, Ge(1)] = None
    reward: float | None = None
    reward_updates: Annotated[int, Ge(1)] = 20
    informative: Fraction | None = None
    probe_every: Annotated[int, Ge(1)] = 10
    probe_groups: Annotated[int, Ge(1)] = 16
    plateau: Annotated[int | None, Ge(1)] = None
    min_gain: float = 0.005

    @property
    def never(self) -> bool:
        """Whether no rule is set, so that the stage takes its whole part."""
        return (self.updates, self.reward, self.informative, self.plateau) == (None,) * 4


@dataclass(frozen=True, slots=True)
class Stage(Checked):
    """One stage of a method.

    name: differs within a method. objective: what is optimised. starts: where episodes start.
    batch: groups or demonstrations per update.
    lr: the highest learning rate. schedule: the learning rate over the stage's budget: "constant",
    or "cosine" or "linear" down to 0. warmup: the fraction of the budget over which it rises first.
    betas: of Adam in this stage, which starts with a new optimiser; None for the run's.
    fraction: how much of the run's whole budget it may take. Stages that name none divide what
    the others leave evenly; the last stage takes all that is left. until: ends it earlier.
    auxiliary: a second objective, on problems from a buffer; None for none.
    envs: names of the environments that it draws starts from, of a run with several; () for all.
    """

    name: str
    objective: Objective
    starts: Starts = Starts()
    batch: Annotated[int, Ge(1)] = 32
    lr: Annotated[float, Ge(0)] = 1e-5
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup: Fraction = 0.0
    betas: tuple[Beta, Beta] | None = None
    fraction: Fraction | None = None
    until: Until = Until()
    auxiliary: AuxiliaryObjective | None = None
    envs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        problems = list(self.objective.start_problems(self.starts.at))
        if self.auxiliary is not None:
            problems += self.auxiliary.problems()
            if not self.objective.samples:
                problems.append("auxiliary needs an objective that samples; set it to 'off'")
        if self.starts.together > 1 and self.starts.at == "problem":
            problems.append(
                "a problem has one start if starts.at is 'problem'; leave starts.together at 1"
            )
        if self.starts.prefix is not None and self.starts.at == "prefix":
            problems.append(
                "starts.prefix decides how many expert steps are given; set starts.at to 'problem'"
            )
        problems += self._unreachable()
        for name in ("prefix", "profile"):
            if getattr(self.starts, name) is not None and not self.objective.samples:
                problems.append(f"starts.{name} needs an objective that samples; set it to 'off'")
        if self.starts.prefix is not None and self.starts.profile is not None:
            problems.append(
                "starts.profile keeps start points, and starts.prefix moves them; set"
                " one of them to 'off'"
            )
        if problems:
            raise BadOption(f"stage {self.name!r}: {problems[0]}")

    def _unreachable(self) -> list[str]:
        """Rewards in its rules that no start can get."""
        most, profile = self.objective.highest_score, self.starts.profile
        rules = {
            "until.reward": self.until.reward,
            "starts.profile.below": None if profile is None else profile.below,
        }
        return [
            f"{name} must be at most {most:g}, the highest reward; got {value:g}"
            for name, value in rules.items()
            if value is not None and value > most
        ]

    @property
    def needs(self) -> frozenset[Need]:
        """What its starts and its objectives need of the data and the configuration."""
        objectives = [self.objective, *([self.auxiliary.objective] if self.auxiliary else [])]
        starts = self.starts
        given = starts.at == "prefix" or starts.prefix is not None or starts.subset is not None
        thoughts = any(each.needs_thoughts for each in objectives)
        needed: dict[Need, bool] = {
            "demonstrations": given or thoughts or any(each.needs_expert for each in objectives),
            "thoughts": thoughts,
            "verifier": any(each.needs_verifier for each in objectives),
            "teacher": any(each.needs_teacher for each in objectives),
            "step checker": any(each.needs_checker for each in objectives),
        }
        return frozenset(need for need, is_needed in needed.items() if is_needed)

    def summary(self, updates: Sequence[Metrics]) -> str:
        """What it learned. updates: its numbers, at least one."""
        losses = [update["auxiliary/loss"] for update in updates if "auxiliary/loss" in update]
        if not losses:
            return self.objective.summary(updates)
        trained = any(update.get("groups/trained") for update in updates)
        first = self.objective.summary(updates) if trained else "no group was trained on"
        return f"{first}; in {len(losses)} auxiliary steps {change('the loss', losses)}"


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
        for number, stage in enumerate(self.stages):
            probed = [following.objective.samples for following in self.stages[number + 1 :][:1]]
            if stage.until.informative is not None and probed != [True]:
                why = "the next stage is not sampled" if probed else "there is no next stage"
                raise BadOption(f"stage {stage.name!r}: until.informative cannot be used; {why}")
        _check_fractions(self)

    @property
    def needs(self) -> frozenset[Need]:
        """What any stage needs."""
        return frozenset().union(*(stage.needs for stage in self.stages))

    def summary(self, updates: Sequence[dict[str, Any]]) -> str:
        """What each stage learned, from the lines of ``metrics.jsonl`` that are updates."""
        rows = {s.name: [u for u in updates if u.get("stage") == s.name] for s in self.stages}
        learned = [
            f"stage {stage.name!r}: {stage.summary(rows[stage.name])}"
            for stage in self.stages
            if rows[stage.name]
        ]
        if not learned:
            return "Nothing was learned: no update."
        return f"What was learned: {'; '.join(learned)}."


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

"""Proposers of candidate steps: the expert among distractors, or a policy's samples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Protocol, runtime_checkable

import numpy as np

from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure
from srl_env.policy import Policy, Sampling
from srl_env.problem import ExpertStep, ProblemSource
from srl_env.seeding import stream
from srl_env.text.prompt import Messages

_POOL = 256
_TRIES = 8


@runtime_checkable
class Proposer(Protocol):
    """Proposes completions for the next step."""

    def propose(
        self, env: ReasoningEnv, messages: Messages, count: int, rng: np.random.Generator
    ) -> list[str]:
        """At most ``count`` completions, in any order; may raise a ``Failure``.

        env: in the middle of an episode; messages: its current prompt.
        """
        ...


class ExpertAmongOthers:
    """The expert's next step, perturbed copies of it, and expert steps of other problems.

    A perturbed step has one number changed by 1 to 9; without numbers, two neighbouring words are
    swapped. The environment rewards it like any step, and it may be correct. If the expert has
    no step left, only steps of other problems are proposed.
    """

    def __init__(self, perturbed: int = 1) -> None:
        """perturbed: number of perturbed candidates."""
        if not isinstance(perturbed, int) or perturbed < 0:
            raise BadOption(f"perturbed must be a whole number of at least 0; got {perturbed!r}")
        self.perturbed = perturbed
        self._pools: dict[str, list[tuple[str, tuple[ExpertStep, ...]]]] = {}

    def propose(
        self, env: ReasoningEnv, messages: Messages, count: int, rng: np.random.Generator
    ) -> list[str]:
        """Completions with distinct actions, the expert's first."""
        if env.granularity != "step":
            raise BadOption(
                "ExpertAmongOthers needs an episode with granularity 'step'; got "
                f"{env.granularity!r}"
            )
        expert = env.expert_steps[env.step_index :][:1]
        perturbed = [perturb(step, rng) for step in expert for _ in range(self.perturbed)]
        distinct: dict[str, ExpertStep] = {}
        for step in chain(expert, perturbed, self._others(env, _TRIES * count, rng)):
            if step.action.strip():
                distinct.setdefault(step.action, step)
            if len(distinct) == count:
                break
        return [env.format.render(step) for step in distinct.values()]

    def _others(
        self, env: ReasoningEnv, tries: int, rng: np.random.Generator
    ) -> Iterator[ExpertStep]:
        """Random steps of random other problems."""
        pool = self._pool(env.problems)
        for _ in range(tries if pool else 0):
            problem_id, steps = pool[int(rng.integers(len(pool)))]
            if problem_id != env.problem.id:
                yield steps[int(rng.integers(len(steps)))]

    def _pool(self, source: ProblemSource) -> list[tuple[str, tuple[ExpertStep, ...]]]:
        """(problem id, an expert's steps) of fixed random problems of a source."""
        if source.name not in self._pools:
            rng = stream("distractors", source.name)
            size = len(source)
            places = range(size) if size <= _POOL else rng.integers(size, size=_POOL)
            problems = [source[int(place)] for place in places]
            self._pools[source.name] = [
                (p.id, p.trajectories[0].steps) for p in problems if p.trajectories
            ]
        return self._pools[source.name]


class PolicySamples:
    """A policy's own samples, optionally with the expert's step among them."""

    def __init__(
        self, policy: Policy, sampling: Sampling | None = None, *, with_expert: bool = False
    ) -> None:
        """sampling: without stop strings, the format's are used. with_expert: one candidate is
        the expert's next step, if one is left. Raises BadOption for a policy that looks into
        the environment, because it cannot answer messages alone."""
        self.policy = as_sampler(policy)
        self.sampling, self.with_expert = sampling or Sampling(), with_expert

    def propose(
        self, env: ReasoningEnv, messages: Messages, count: int, rng: np.random.Generator
    ) -> list[str]:
        """The samples, equal ones included; raises the ``Failure`` if all failed."""
        left = env.step_index < len(env.expert_steps)
        expert = [env.expert_completion()] if self.with_expert and left else []
        sampling = self.sampling.for_format(env.format, env.granularity)
        made = self.policy.generate([messages] * (count - len(expert)), sampling)
        texts = [sample.text for sample in made if not isinstance(sample, Failure)]
        if not expert and not texts:
            raise next(sample for sample in made if isinstance(sample, Failure))
        return expert + texts


def as_sampler(policy: object) -> Policy:
    """The policy; BadOption if it cannot be sampled from."""
    if not isinstance(policy, Policy):
        raise BadOption(
            f"{type(policy).__name__} has no generate(), so there are no samples to choose among. "
            "Fix: use a model's policy"
        )
    return policy


def perturb(step: ExpertStep, rng: np.random.Generator) -> ExpertStep:
    """The step with one number of its action changed; without numbers, with two words swapped.

    The thought stays. A step with neither numbers nor different words stays as it is.
    """
    numbers = list(re.finditer(r"\d+", step.action))
    if not numbers:
        return replace(step, action=_swapped(step.action, rng))
    chosen = numbers[int(rng.integers(len(numbers)))]
    value = int(chosen.group()[-18:])
    change = int(rng.integers(1, 10)) * (1 if rng.random() < 0.5 else -1)
    text = str(value + change if value + change >= 0 else value - change)
    return replace(step, action=step.action[: chosen.start()] + text + step.action[chosen.end() :])


def _swapped(text: str, rng: np.random.Generator) -> str:
    """The text with two different neighbouring words swapped, if there are any."""
    words = re.split(r"(\s+)", text)
    places = [i for i in range(0, len(words) - 2, 2) if words[i] != words[i + 2]]
    if places:
        i = places[int(rng.integers(len(places)))]
        words[i], words[i + 2] = words[i + 2], words[i]
    return "".join(words)

"""Fakes for tests: tiny, exact, offline.

``CountingEnv`` has three problems that can be solved by hand; ``SlowWorldEnv`` adds a world that
waits. ``ScriptedPolicy`` writes given completions. ``FailingVerifier`` never answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from srl_env.data.sources.listed import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import Failure, VerifierTimeout, WorldFailure
from srl_env.policy import Generation, Sampling
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.text.prompt import Messages
from srl_env.verifiers.protocol import Verdict, Verifier


def counting_problem(target: int) -> Problem:
    """Count to ``target``, say so, and give the sum: one step a number, then the answer.

    The answer of target 3 is "sum=6!" after "say 1", "say 2", "say 3".
    """
    numbers = range(1, target + 1)
    steps = [
        ExpertStep(f"say {n}", title=f"Number {n}", thought=f"after {n - 1} comes {n}")
        for n in numbers
    ]
    answer = f"sum={sum(numbers)}!"
    steps.append(ExpertStep(f"the {answer}", title="Sum", thought="add them up"))
    trajectory = ExpertTrajectory(tuple(steps), "counting")
    return Problem(f"count-{target}", f"Count to {target}, then add up.", answer, (trajectory,))


@dataclass(frozen=True, slots=True)
class CountingVerifier:
    """Correct if the last action's last line is "the " and the problem's answer."""

    def extract(self, text: str) -> str | None:
        """The text after "the ", if the last line starts with it."""
        line = text.rpartition("\n")[2]
        return line[4:] if line.startswith("the ") else None

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        """The verdict on the last action."""
        answer = self.extract(actions[-1])
        return Verdict(answer is not None and answer == problem.answer, answer)

    def verify_many(
        self, items: Sequence[tuple[Problem, Sequence[str]]]
    ) -> list[Verdict | Failure]:
        """One verdict each."""
        return [self.verify(problem, actions) for problem, actions in items]


@dataclass(frozen=True, slots=True)
class FailingVerifier:
    """Finds answers as ``CountingVerifier`` does, but times out on every verdict."""

    def extract(self, text: str) -> str | None:
        """As ``CountingVerifier``."""
        return CountingVerifier().extract(text)

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        """Raises ``VerifierTimeout``."""
        raise VerifierTimeout("no answer within 0 s")

    def verify_many(
        self, items: Sequence[tuple[Problem, Sequence[str]]]
    ) -> list[Verdict | Failure]:
        """A ``VerifierTimeout`` for each."""
        return [VerifierTimeout("no answer within 0 s") for _ in items]


class CountingEnv(ReasoningEnv):
    """Count to 2, 3 or 4 in steps, then add up.

    **Task.** "Count to 3, then add up." **Action.** "say 1", …, then the answer, "the sum=6!".
    **Legal.** The number that comes next, or the correct sum after the last number. **Verdict.**
    The last action is the correct sum. **Data.** Three problems, count-2, count-3 and count-4, made
    here.
    """

    def __init__(self, verifier: Verifier | None = None, **options: Any) -> None:
        """options: those of ``ReasoningEnv``."""
        problems = tuple(counting_problem(target) for target in (2, 3, 4))
        source = ListSource(problems, "counting/train")
        super().__init__(source, verifier or CountingVerifier(), **options)

    def legal(self, problem: Problem, actions: Sequence[str], action: str) -> bool:
        """Whether an action is the expert's next one."""
        expert = problem.trajectories[0].actions
        return tuple(actions) == expert[: len(actions)] and action in expert[len(actions) :][:1]


@dataclass(slots=True)
class Counter:
    """The world of ``SlowWorldEnv``: the actions so far."""

    said: list[str] = field(default_factory=list)


class SlowWorldEnv(CountingEnv):
    """``CountingEnv`` in a slow world that answers how many actions there were.

    delay_s: how long each answer takes. fail_at: which answer of an episode is a ``WorldFailure``;
    0 is the setup, None is never.
    """

    slow_world = True

    def __init__(self, delay_s: float = 0.0, fail_at: int | None = None, **options: Any) -> None:
        """options: those of ``CountingEnv``."""
        super().__init__(**options)
        self.delay_s, self.fail_at = delay_s, fail_at
        self.world = Counter()

    def world_reset(self, problem: Problem) -> None:
        """A world without actions."""
        self.world = Counter()
        self._wait(0)

    def world_step(self, action: str) -> str:
        """How many actions there were."""
        self.world.said.append(action)
        self._wait(len(self.world.said))
        return f"{len(self.world.said)} said"

    def _wait(self, number: int) -> None:
        time.sleep(self.delay_s)
        if number == self.fail_at:
            raise WorldFailure(f"the world is gone at answer {number}")


@dataclass(slots=True)
class ScriptedPolicy:
    """Returns given completions over and over, one for each prompt.

    shown: the batches of messages that it was asked with, in order. samplings: how it was asked.
    """

    completions: Sequence[str]
    shown: list[list[Messages]] = field(default_factory=list)
    samplings: list[Sampling] = field(default_factory=list)
    said: int = 0

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        """The next completions of the script, which repeats."""
        self.shown.append(list(batch))
        self.samplings.append(sampling)
        start, self.said = self.said, self.said + len(batch)
        return [
            Generation(self.completions[i % len(self.completions)]) for i in range(start, self.said)
        ]


@dataclass(frozen=True, slots=True)
class Cheater:
    """A ``PrivilegedPolicy`` that looks at the expert and writes its next step."""

    def act(self, envs: Sequence[ReasoningEnv]) -> list[Generation]:
        """Each environment's expert completion."""
        return [Generation(env.expert_completion()) for env in envs]

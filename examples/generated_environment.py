"""An environment whose problems are generated, and in which many orders of steps are right.

    srl-env check examples/generated_environment.py
    srl-env play examples/generated_environment.py --mode rlvr

"Add 4, 9, 2, 7, two at a time": any two numbers may be added next. The expert shows one order;
``legal`` says whether a step is right in whatever order it comes, which the step reward (how
like the expert's step is it?) cannot know. Problems are made when asked for, from a hash of
their number, and belong to train or test by what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import srl_env
from srl_env import ExpertStep, ExpertTrajectory, Problem, ReasoningEnv
from srl_env.data import split_of
from srl_env.errors import UnknownName
from srl_env.seeding import stream
from srl_env.verifiers import NumericVerifier

FRACTIONS = {"train": 0.8, "test": 0.2}
ADDITION = re.compile(r"(\d{1,9}) \+ (\d{1,9}) = (\d{1,9})")


@dataclass(frozen=True)
class Sums:
    """Problem ``i`` of a split, made anew whenever it is asked for; the splits are disjoint."""

    split: str = "train"
    count: int = 4
    size: int = 100_000

    def __post_init__(self) -> None:
        if self.split not in FRACTIONS:
            raise UnknownName("split", self.split, FRACTIONS)

    @property
    def name(self) -> str:
        """Part of every seed."""
        return f"sums/{self.split}/{self.count}"

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Problem:
        if not 0 <= index < self.size:
            raise IndexError(f"{self.name} has problems 0 … {self.size - 1}; got {index}")
        rng = stream(self.name, index)
        while True:
            numbers = [int(n) for n in rng.integers(2, 100, self.count)]
            if split_of(str(sorted(numbers)), FRACTIONS) == self.split:
                return self._problem(f"{self.name}/{index}", numbers, rng)

    def index_of(self, problem_id: str) -> int:
        """The number at the end of an id."""
        prefix, _, index = problem_id.rpartition("/")
        if prefix != self.name or not index.isdecimal():
            raise UnknownName("problem", problem_id, [f"{self.name}/0"])
        return int(index)

    def _problem(self, problem_id: str, numbers: list[int], rng: np.random.Generator) -> Problem:
        left, steps = list(numbers), []
        while len(left) > 1:
            a, b = (left.pop(int(rng.integers(len(left)))) for _ in range(2))
            steps.append(ExpertStep(f"{a} + {b} = {a + b}"))
            left.append(a + b)
        steps.append(ExpertStep(f"#### {left[0]}"))
        prompt = f"Add {', '.join(map(str, numbers))}, two at a time. Then: #### and the sum."
        way = ExpertTrajectory(tuple(steps))
        return Problem(problem_id, prompt, str(left[0]), (way,), {"numbers": numbers})


class SumsEnv(ReasoningEnv):
    """Add numbers two at a time, in any order; the last step is "#### 22"."""

    def __init__(self, *, split: str = "train", count: int = 4, **options: Any) -> None:
        super().__init__(Sums(split, count), NumericVerifier(), **options)

    def legal(self, problem: Problem, actions: Sequence[str], action: str) -> bool:
        """Whether an addition is right and its numbers are there, or the sum is the only one."""
        left = list(problem.metadata["numbers"])
        for said in actions:
            _add(left, said)
        return _add(left, action) or (len(left) == 1 and action == f"#### {left[0]}")


def _add(left: list[int], action: str) -> bool:
    """Replaces two numbers by their sum, if that is what the action rightly does."""
    match = ADDITION.fullmatch(action)
    if match is None:
        return False
    a, b, total = map(int, match.groups())
    rest = list(left)
    for number in (a, b):
        if number not in rest:
            return False
        rest.remove(number)
    if a + b != total:
        return False
    left[:] = [*rest, total]
    return True


def main() -> None:
    """Checks the environment, and takes another way than the expert's."""
    env = SumsEnv()
    print(srl_env.check_env(env))
    observation, _ = env.reset(options={"problem": 0, "reward_mode": "rlvr"})
    print(observation)
    left = list(env.problem.metadata["numbers"])
    while len(left) > 1:
        a, b = left.pop(), left.pop()
        left.append(a + b)
        *_, info = env.step(f"<think>the last two</think>\n{a} + {b} = {a + b}")
        print(info["action"], info["legal"])
    print(env.step(f"<think>done</think>\n#### {left[0]}")[1])


if __name__ == "__main__":
    main()

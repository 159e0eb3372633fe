"""A subset of the demonstrated problems whose solutions differ most."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Annotated

import numpy as np
from annotated_types import Ge

from srl_agents.checked import Checked
from srl_env.errors import BadOption
from srl_env.problem import Problem, ProblemSource
from srl_env.rewards import step_similarity

_READ = 16  # problems for each candidate, where few are demonstrated


@dataclass(frozen=True, slots=True)
class Diverse(Checked):
    """Problems chosen one after another, each least like those chosen before.

    count: how many are chosen. candidates: the first so many demonstrated problems are compared.
    """

    count: Annotated[int, Ge(1)] = 256
    candidates: Annotated[int, Ge(1)] = 1024

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        if self.count > self.candidates:
            raise BadOption(
                f"count must be at most candidates ({self.candidates}), of which they are chosen;"
                f" got {self.count}"
            )

    def choose(self, source: ProblemSource, indices: Sequence[int]) -> list[int]:
        """Of these indices of the source, at most ``count``, in the order of choice.

        Solutions with the same primitives are chosen in turn, once all others are.
        """
        read = ((index, source[index]) for index in indices[: self.candidates * _READ])
        alike: defaultdict[str, list[int]] = defaultdict(list)
        demonstrated = ((index, problem) for index, problem in read if problem.trajectories)
        for index, problem in islice(demonstrated, self.candidates):
            alike[primitives(problem)].append(index)
        order = farthest_first(list(alike), self.count)
        turns = chain.from_iterable(zip_longest(*(alike[text] for text in order)))
        return [index for index in turns if index is not None][: self.count]


def primitives(problem: Problem) -> str:
    """The first expert's thoughts and actions; numbers are 0 in it, and single letters a."""
    steps = problem.trajectories[0].steps
    text = "\n".join(f"{step.thought or ''} {step.action}" for step in steps)
    return re.sub(r"(?<![^\W\d_])[^\W\d_](?![^\W\d_])", "a", re.sub(r"\d+", "0", text))


def farthest_first(texts: Sequence[str], count: int) -> list[str]:
    """At most ``count`` texts: the first, then each time the one least like those chosen."""
    chosen, nearest = list(texts[:1]), np.full(len(texts), np.inf)
    while 0 < len(chosen) < min(count, len(texts)):
        nearest = np.minimum(nearest, [1 - step_similarity(text, chosen[-1]) for text in texts])
        nearest[texts.index(chosen[-1])] = -1.0
        chosen.append(texts[int(nearest.argmax())])
    return chosen

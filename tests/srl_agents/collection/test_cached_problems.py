"""A cache of problems gives what its source gives, and asks it less."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from srl_agents.collection.cached_problems import CachedSource
from srl_env.problem import Problem, ProblemSource
from srl_env.testing import counting_problem


@dataclass
class Counted:
    """A source of five problems that counts how often each is made."""

    made: list[int] = field(default_factory=list)
    name: str = "counted/train"

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Problem:
        if not 0 <= index < 5:
            raise IndexError(index)
        self.made.append(index)
        return counting_problem(index + 1)

    def index_of(self, problem_id: str) -> int:
        return int(problem_id.removeprefix("count-")) - 1


def test_a_problem_is_made_once_while_it_is_remembered() -> None:
    source = Counted()
    cached = CachedSource(source, size=2)
    assert [cached[i].id for i in (0, 0, 1, 0, 2, 0, 1)] == [
        f"count-{i + 1}" for i in (0, 0, 1, 0, 2, 0, 1)
    ]
    assert source.made == [0, 1, 2, 1]  # 1 was forgotten when 2 came


def test_everything_else_is_the_sources() -> None:
    cached = CachedSource(Counted())
    assert isinstance(cached, ProblemSource)
    assert (cached.name, len(cached), cached.index_of("count-3")) == ("counted/train", 5, 2)
    with pytest.raises(IndexError):
        cached[5]

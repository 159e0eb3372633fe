from __future__ import annotations

from srl_agents.expert_data.choice import diverse, shortest, without_duplicates
from srl_env.problem import ExpertStep, ExpertTrajectory


def solution(*actions: str) -> ExpertTrajectory:
    return ExpertTrajectory(tuple(ExpertStep(action) for action in actions))


def test_solutions_that_differ_in_white_space_only_are_duplicates() -> None:
    one, two, same = solution("a  b", "c"), solution("a b c"), solution("a b", " c\n")
    assert without_duplicates([one, two, same]) == [one, two]


def test_the_shortest_has_the_fewest_characters_in_its_steps() -> None:
    long, short, also = solution("aaaa"), solution("a", "b"), solution("cc")
    assert shortest([long, short, also], 2) == [short, also]


def test_the_diverse_ones_are_the_shortest_and_those_least_like_it() -> None:
    first, near, far, middle = map(solution, ("abcd", "abcde", "vwxyz", "abxyz"))
    assert diverse([near, far, first, middle], 2) == [first, far]
    # far is chosen; abxyz shares 3 of 5 letters with it, abcde all but one with the first
    assert diverse([near, far, first, middle], 3) == [first, far, middle]
    assert diverse([first], 3) == [first]

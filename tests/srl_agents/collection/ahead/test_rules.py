"""How much is begun ahead, and how old samples are: worked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srl_agents.collection.ahead.rules import groups_in_a_job, room, staleness
from srl_env.policy import Generation
from srl_env.rollout import Episode, Step

STEP = Step((), Generation("a"), "a", 0, 1.0, {}, True, None, None)


def episode(*versions: int | None) -> Episode:
    """An episode with a step of each version."""
    steps = tuple(replace(STEP, generation=Generation("a", version=v)) for v in versions)
    return Episode("p", 0, "srl", "expert", "step", steps, None, None, 0)


@pytest.mark.parametrize(
    ("most", "expected", "taken", "missing", "pending", "free"),
    [
        (0, 8, 0, 8, 0, 8),  # in turn: what this update needs, and no more
        (0, 8, 5, 3, 0, 3),
        (1, 8, 0, 8, 0, 16),  # this update's and the next one's
        (1, 8, 0, 8, 8, 8),  # those of the next one were begun during the update before
        (1, 8, 6, 2, 10, 0),  # 2 for this update and 8 for the next are all there
        (1, 8, 6, 4, 8, 4),  # 2 groups without a signal are replaced
        (1, 16, 0, 8, 16, 16),  # an update has needed 16 starts of late
        (1, 16, 16, 3, 16, 3),  # and this one needs yet more
        (2, 4, 0, 4, 20, 0),  # never negative
    ],
)
def test_the_room_is_for_this_update_and_so_many_next_ones(
    most: int, expected: int, taken: int, missing: int, pending: int, free: int
) -> None:
    assert room(most, expected, taken, missing, pending) == free


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_groups_that_are_taken_in_order_are_never_too_old(most: int) -> None:
    begun: list[int] = []  # the version in which each group began, in order
    for version in range(20):
        taken = 0
        while taken < 4:
            begun += [version] * room(most, 4, taken, 4 - taken, len(begun))
            assert len(begun) <= (most + 1) * 4
            assert version - begun.pop(0) <= most
            taken += 1


def test_jobs_are_small_enough_for_every_slot() -> None:
    assert groups_in_a_job(None, max_staleness=1, expected=8, slots=2) == 4
    assert groups_in_a_job(None, max_staleness=1, expected=3, slots=2) == 2
    assert groups_in_a_job(None, max_staleness=1, expected=2, slots=16) == 1
    assert groups_in_a_job(None, max_staleness=2, expected=64, slots=2) == 8
    assert groups_in_a_job(3, max_staleness=2, expected=64, slots=2) == 3


def test_the_oldest_completion_decides_how_old_a_group_is() -> None:
    assert staleness([episode(7), episode(6, 4)], now=7) == 3
    assert staleness([episode(7, 7)], now=7) == 0
    assert staleness([episode(), episode(None)], now=7) == 0  # failed before the first step

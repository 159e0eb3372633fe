"""Where a run is, by hand: two stages that share a budget of ten updates."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from srl_agents.methods.budget import StageBudget
from srl_agents.methods.stages import Stage, Until
from srl_agents.objectives import GRPO
from srl_agents.training.stage_clock import Position, StageClock

FIRST = Stage("first", GRPO(), lr=1.0, fraction=0.4, schedule="linear")
PROBED = Stage("first", GRPO(), fraction=0.4, until=Until(informative=0.5, probe_every=2))
LAST = Stage("last", GRPO(), lr=0.5)


def clock(first: Stage = FIRST) -> StageClock:
    return StageClock((first, LAST), StageBudget("updates", 0.0, 10.0))


def updates(count: int, stages: StageClock) -> None:
    for _ in range(count):
        stages.position.count(2.0, 100, 0.25)


def test_a_stage_is_over_when_its_share_of_the_budget_is_spent() -> None:
    stages = clock()
    updates(3, stages)
    assert stages.stage_end_reason() is None
    updates(1, stages)
    assert stages.stage_end_reason() == "its budget is used up: 4 updates"
    assert stages.fraction() == pytest.approx(0.4)
    assert stages.following is LAST
    assert not stages.last


def test_the_next_stage_counts_from_where_it_begins() -> None:
    stages = clock()
    updates(4, stages)
    stages.begin_next()
    assert stages.stage is LAST
    assert stages.last
    assert stages.position.scores == []
    updates(5, stages)
    assert stages.stage_end_reason() is None
    updates(1, stages)
    assert stages.stage_end_reason() == "its budget is used up: 6 updates"


def test_the_learning_rate_is_that_of_the_middle_of_the_next_update() -> None:
    stages = clock()
    assert stages.learning_rate() == pytest.approx(1 - 0.5 / 4)
    updates(2, stages)
    assert stages.learning_rate() == pytest.approx(1 - 2.5 / 4)


def test_a_probe_is_due_after_every_so_many_updates_of_the_stage_and_not_before_the_first() -> None:
    stages = clock(PROBED)
    due = [stages.probe_due()]
    for _ in range(4):
        updates(1, stages)
        due.append(stages.probe_due())
    assert due == [False, False, True, False, True]


def test_a_position_comes_back_from_json() -> None:
    stages = clock()
    updates(2, stages)
    stages.position.ended.append(("first", "3 updates were made"))
    again = Position.from_json(json.loads(json.dumps(asdict(stages.position))))
    assert again == stages.position

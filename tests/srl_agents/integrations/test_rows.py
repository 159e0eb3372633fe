"""Starts as rows: which there are, what they say, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

import srl_env
from srl_agents.integrations.rows import (
    Rows,
    RowsDropped,
    RowSettings,
    StepRewardsSpread,
    warn_of_spreading,
)
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.testing import CountingEnv, CountingVerifier


def starts(rows: Rows) -> list[tuple[int, int]]:
    return [(row.problem, row.start_step) for row in rows.rows]


def test_in_srl_a_row_is_a_step_but_never_a_last_one() -> None:
    rows = Rows(CountingEnv, RowSettings("srl"))  # 3, 4 and 5 steps
    assert starts(rows) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (2, 3)]
    assert rows.one_completion


def test_targets_all_takes_the_last_steps_too() -> None:
    rows = Rows(CountingEnv, RowSettings("srl", targets="all", problems=1))
    assert starts(rows) == [(0, 0), (0, 1), (0, 2)]


def test_in_rlvr_a_row_is_a_problem_and_one_completion_where_the_environment_has_that() -> None:
    rows = Rows(CountingEnv, RowSettings("rlvr"))
    assert starts(rows) == [(0, 0), (1, 0), (2, 0)]
    assert rows.one_completion
    assert rows.options(1, 0)["granularity"] == "solution"
    stepwise = Rows(CountingEnv, RowSettings("rlvr", granularity="step"))
    assert not stepwise.one_completion


def test_a_row_shows_what_the_environment_shows_there_and_begins_there_again() -> None:
    rows = Rows(CountingEnv, RowSettings("srl"))
    row, env = rows.rows[4], CountingEnv()
    start = rows.start(json.loads(json.dumps(row.columns())), group=7)
    assert start.group == 7
    assert start.options["copy"] != rows.start(row).options["copy"]  # random rewards of its own
    _, info = env.reset(seed=start.seed, options=dict(start.options))
    assert tuple(info["messages"]) == row.messages
    assert (env.problem.id, env.step_index) == ("count-3", 2)
    assert env.step("<think>2, 3</think>say 3")[1:4] == (1.0, False, True)


def test_no_row_tells_what_the_expert_does() -> None:
    rows = Rows(CountingEnv, RowSettings("srl"))
    last = next(row for row in rows.rows if (row.problem, row.start_step) == (2, 3))
    assert "say 3" in str(last)
    assert "say 4" not in str(last)
    assert "sum=10" not in str(last)


def test_rows_of_one_problem_follow_the_same_of_several_experts() -> None:
    ways = tuple(
        ExpertTrajectory(tuple(ExpertStep(f"{name} {i}") for i in range(4))) for name in "abcdef"
    )

    def make() -> ReasoningEnv:
        problems = [Problem(f"p{i}", f"Problem {i}", "x", ways) for i in range(5)]
        return ReasoningEnv(ListSource(problems, "ways"), CountingVerifier())

    rows = Rows(make, RowSettings("srl"))
    assert len(rows.rows) == 15
    for problem in range(5):
        shown = [str(row.messages) for row in rows.rows if row.problem == problem]
        (names,) = {frozenset(name for name in "abcdef" if f"{name} 0" in s) for s in shown[1:]}
        assert len(names) == 1


def test_prompts_that_are_there_twice_and_problems_without_steps_are_counted() -> None:
    way = (ExpertTrajectory((ExpertStep("one"), ExpertStep("the end"))),)

    def make() -> ReasoningEnv:
        same = [Problem("a", "same", "x", way), Problem("b", "same", "y", way)]
        problems = [*same, Problem("c", "")]
        return ReasoningEnv(ListSource(problems, "some"), CountingVerifier())

    with pytest.warns(RowsDropped, match="some: 1 rows; 1 rows dropped because") as told:
        rows = Rows(make, RowSettings("srl")).rows
    assert "1 problems without a step" in str(told[0].message)
    assert [row.problem_id for row in rows] == ["a"]


def test_a_generator_is_listed_only_as_far_as_is_said() -> None:
    with pytest.raises(BadOption, match="Fix: set how many"):
        _ = Rows("srl/ModularChain-v0", RowSettings("srl"), {"difficulty": 3}).rows
    rows = Rows("srl/ModularChain-v0", RowSettings("srl", problems=2), {"difficulty": 3})
    assert {row.problem for row in rows.rows} == {0, 1}


def test_modes_choose_whether_a_row_is_a_step() -> None:
    assert not RowSettings("holistic").by_step
    assert RowSettings("hybrid", each="step").continuation == "expert"


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"reward_mode": "slr"}, UnknownName, "Did you mean 'srl'"),
        ({"each": "token"}, BadOption, "each must be 'step' or 'problem'"),
        ({"each": "problem"}, BadOption, "spread the sum over all of their tokens"),
        ({"max_steps": 3}, BadOption, "a row of one step"),
        ({"granularity": "solution"}, BadOption, "a row of one step"),
        *(({"problems": n}, BadOption, "of at least 1, or None") for n in (0, -1, 2.5, "5", True)),
    ],
)
def test_settings_that_cannot_work_are_refused(
    settings: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        RowSettings(**settings)


def test_an_environment_without_experts_gives_no_rows_of_srl() -> None:
    def make() -> ReasoningEnv:
        return ReasoningEnv(ListSource([Problem("a", "b")], "bare"), CountingVerifier())

    with pytest.raises(BadOption, match="bare gives no row"):
        _ = Rows(make, RowSettings("srl")).rows
    with pytest.raises(BadOption, match="needs experts"):
        _ = Rows(make, RowSettings("holistic")).rows
    assert len(Rows(make, RowSettings("rlvr")).rows) == 1


def test_one_paid_step_is_no_spreading_and_two_are() -> None:
    warn_of_spreading(1, "TRL")
    with pytest.warns(
        StepRewardsSpread, match="up to 2 steps of an episode were rewarded; verl has"
    ):
        warn_of_spreading(2, "verl")


def test_environments_can_be_adapted_as_they_are_made() -> None:
    def adapt(env: ReasoningEnv) -> None:
        env.style = srl_env.PromptStyle.bare()

    rows = Rows(CountingEnv, RowSettings("rlvr"), adapt=adapt)
    assert rows.rows[0].messages[-1]["content"] == "Count to 2, then add up."


def test_what_makes_no_environment_is_named() -> None:
    with pytest.raises(BadOption, match="rows need a srl_env.ReasoningEnv; .* makes int"):
        Rows(lambda: 3, RowSettings())  # type: ignore[arg-type, return-value]
    with pytest.raises(BadOption, match=r"unknown settings \['problem'\]"):
        Rows(CountingEnv, RowSettings(), {"problem": 3})

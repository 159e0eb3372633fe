"""Methods are lists of stages, and impossible stages are refused where they are made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srl_agents.methods.shipped import RLVR, SFT, SRL, get_method, methods, register_method
from srl_agents.methods.stages import GRPO, NLL, Method, Starts, Until
from srl_env.errors import BadOption, UnknownName
from srl_env.rewards import get_reward_mode


def test_the_methods_that_ship() -> None:
    assert {"sft", "rlvr", "srl", "holistic", "sft-rlvr", "srl-rlvr"} <= set(methods())


@pytest.mark.parametrize("name", ["sft", "rlvr", "srl", "holistic", "sft-rlvr", "srl-rlvr"])
def test_reward_modes_of_shipped_methods_exist(name: str) -> None:
    for stage in get_method(name).stages:
        if isinstance(stage.objective, GRPO):
            get_reward_mode(stage.objective.reward_mode)


def test_the_published_settings_hold_for_the_shipped_stages() -> None:
    for stage in (SRL, RLVR):
        assert isinstance(stage.objective, GRPO)
        objective = stage.objective
        assert (objective.scale, objective.aggregation, objective.kl) == ("std", "sequence", 0.0)
        assert objective.clip_low == objective.clip_high
        assert (objective.group_size, objective.temperature) == (8, 1.0)


def test_an_unknown_method_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'srl-rlvr'"):
        get_method("srl-rlv")


def test_a_name_is_not_taken_twice() -> None:
    with pytest.raises(BadOption, match="exists already"):
        register_method(Method("srl", (RLVR,)))
    assert register_method(Method("srl", (SRL,))) == get_method("srl")


def test_stages_of_a_method_have_names_that_differ() -> None:
    with pytest.raises(BadOption, match="names that differ"):
        Method("twice", (RLVR, RLVR))
    with pytest.raises(BadOption, match="at least one stage"):
        Method("none", ())


def test_the_last_stage_has_nothing_to_probe() -> None:
    with pytest.raises(BadOption, match="no next stage"):
        Method("m", (replace(SRL, until=Until(informative=0.5)),))


def test_only_a_sampled_stage_can_be_probed() -> None:
    with pytest.raises(BadOption, match="not sampled"):
        Method("m", (replace(SRL, until=Until(informative=0.5)), SFT))


@pytest.mark.parametrize(
    ("fractions", "starved"),
    [
        ((1.0, None), "'1'"),
        ((0.6, 0.4, 0.5), "'2'"),
        ((None, 1.0), "'0'"),
        ((0.5, None, 0.5), "'1'"),
    ],
)
def test_a_stage_for_which_the_other_shares_leave_nothing_is_refused(
    fractions: tuple[float | None, ...], starved: str
) -> None:
    stages = tuple(replace(RLVR, name=f"{i}", fraction=each) for i, each in enumerate(fractions))
    with pytest.raises(BadOption, match=f"leave some of the budget for stage {starved}; got 1"):
        Method("m", stages)


def test_a_stage_that_a_rule_may_end_sooner_may_take_the_whole_budget() -> None:
    first = replace(RLVR, name="first", fraction=1.0, until=Until(reward=0.5))
    assert len(Method("m", (first, RLVR)).stages) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": GRPO(group_size=1)}, "objective.group_size is at least 2; got 1"),
        ({"objective": GRPO(temperature=0.0)}, "objective.temperature is at least 0.001"),
        ({"batch": 0}, "batch is at least 1"),
        ({"fraction": 1.5}, "fraction is between 0 and 1"),
        ({"lr": float("inf")}, "lr is a finite number; got inf"),
        ({"objective": GRPO(max_groups=float("inf"))}, "max_groups is a finite number; got inf"),
        ({"until": Until(reward=float("nan"))}, "until.reward is a finite number; got nan"),
        ({"until": Until(min_gain=float("inf"))}, "until.min_gain is a finite number; got inf"),
        ({"starts": Starts(together=4)}, "leave starts.together at 1"),
        ({"objective": NLL()}, "set starts.at to 'prefix'"),
        (
            {"objective": NLL(granularity="solution"), "starts": Starts("prefix")},
            "set starts.at to 'problem'",
        ),
        (
            {"objective": NLL(aggregation="constant"), "starts": Starts("prefix")},
            "choose 'token' or 'sequence'",
        ),
    ],
)
def test_impossible_stages_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        replace(RLVR, **change)  # type: ignore[arg-type]

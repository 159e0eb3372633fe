"""Methods are lists of stages, and impossible stages are refused where they are made."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from srl_agents.methods.profile import Profile
from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.sft import SFT
from srl_agents.methods.shipped import get_method, methods, register_method
from srl_agents.methods.srl import SRL
from srl_agents.methods.stages import Method, Stage, Starts, Until
from srl_agents.objectives import GRPO, NLL
from srl_agents.objectives.form import Form
from srl_agents.objectives.sampled import Sampled
from srl_env.errors import BadOption, UnknownName
from srl_env.rewards import get_reward_mode


def test_the_methods_that_ship() -> None:
    assert {"sft", "rlvr", "srl", "holistic", "sft-rlvr", "srl-rlvr"} <= set(methods())


@pytest.mark.parametrize("name", ["sft", "rlvr", "srl", "holistic", "sft-rlvr", "srl-rlvr"])
def test_reward_modes_of_shipped_methods_exist(name: str) -> None:
    for stage in get_method(name).stages:
        get_reward_mode(getattr(stage.objective, "reward_mode", "rlvr"))


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
def test_a_stage_for_which_the_other_fractions_leave_nothing_is_refused(
    fractions: tuple[float | None, ...], starved: str
) -> None:
    stages = tuple(replace(RLVR, name=f"{i}", fraction=each) for i, each in enumerate(fractions))
    with pytest.raises(BadOption, match=f"leave some of the budget for stage {starved}; got 1"):
        Method("m", stages)


def test_a_stage_that_a_rule_may_end_sooner_may_take_the_whole_budget() -> None:
    first = replace(RLVR, name="first", fraction=1.0, until=Until(reward=0.5))
    assert len(Method("m", (first, RLVR)).stages) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GRPO(group_size=1), "group_size must be greater than or equal to 2; got 1"),
        (lambda: GRPO(temperature=0.0), "temperature must be greater than or equal to 0.001"),
        (lambda: GRPO(max_groups=math.inf), "max_groups must be a finite number; got inf"),
        (lambda: GRPO(scale="median"), "'leave-one-out' or 'mean'; got 'median'"),  # type: ignore[arg-type]
        (lambda: replace(GRPO(), clip_low=2), "clip_low must be less than or equal to 1; got 2"),
        (lambda: Until(reward=math.nan), "reward must be a finite number; got nan"),
        (lambda: Until(min_gain=math.inf), "min_gain must be a finite number; got inf"),
        (lambda: Starts(revisit=0.0), "revisit must be greater than or equal to 0.01; got 0.0"),
        (lambda: replace(RLVR, batch=0), "batch must be greater than or equal to 1; got 0"),
        (lambda: replace(RLVR, fraction=1.5), "fraction must be less than or equal to 1; got 1.5"),
        (lambda: replace(RLVR, lr=math.inf), "lr must be a finite number; got inf"),
        (lambda: replace(RLVR, betas=(0.9, 1.0)), "betas.1 must be less than 1; got 1.0"),
        (lambda: replace(RLVR, starts=Starts(together=4)), "leave starts.together at 1"),
        (lambda: replace(RLVR, objective=NLL()), "set starts.at to 'prefix'"),
        (
            lambda: replace(SFT, objective=NLL(granularity="solution")),
            "set starts.at to 'problem'",
        ),
        (
            lambda: replace(SFT, objective=NLL(aggregation="constant")),
            "choose 'token' or 'sequence'",
        ),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        make()


@pytest.mark.parametrize(
    ("objective", "most"),
    [
        (GRPO(), "1"),
        (GRPO(reward_mode="srl"), "1"),
        (GRPO(reward_mode="holistic"), "1"),
        (GRPO(reward_mode="hybrid", granularity="solution"), "1"),
        (Form(), "1"),
    ],
)
def test_a_rule_for_a_reward_above_the_highest_is_refused(objective: Sampled, most: str) -> None:
    Stage("s", objective, until=Until(reward=1))
    with pytest.raises(BadOption, match=rf"^stage 's': until.reward must be at most {most}, the h"):
        Stage("s", objective, until=Until(reward=2))
    with pytest.raises(BadOption, match=r"starts.profile.below must be at most 1, .*; got 3$"):
        Stage("s", objective, Starts(profile=Profile(below=3)))


def test_rewards_that_add_up_over_an_episode_have_no_highest() -> None:
    Stage("s", GRPO(reward_mode="hybrid"), until=Until(reward=2))

"""Methods on data that lacks what they need: refused, with the methods that would work."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from srl_agents.methods.sft import SFT
from srl_agents.methods.shipped import get_method, methods
from srl_agents.methods.stages import Method
from srl_agents.objectives.nll import NLL
from srl_agents.runs.needs import check_needs
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData, BadOption
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.verifiers import ExactVerifier

WITHOUT_THOUGHTS = ExpertTrajectory((ExpertStep("2"), ExpertStep("#4")))
WITH_THOUGHTS = ExpertTrajectory((ExpertStep("2", thought="1 + 1"), ExpertStep("#4")))
REASONING = Method("reasoning", (replace(SFT, objective=NLL(demonstration="reasoning")),))


def env(*problems: tuple[str | None, ExpertTrajectory | None]) -> ReasoningEnv:
    made = [
        Problem(f"{i}", "?", answer, () if expert is None else (expert,))
        for i, (answer, expert) in enumerate(problems)
    ]
    return ReasoningEnv(ListSource(made, "few"), ExactVerifier(marker="#"))


def test_what_a_method_needs_follows_from_its_parts() -> None:
    assert get_method("sft").needs == {"demonstrations"}
    assert get_method("srl").needs == {"demonstrations"}
    assert get_method("rlvr").needs == {"verifier"}
    assert get_method("srl-rlvr").needs == {"demonstrations", "verifier"}
    assert get_method("adaback").needs == {"demonstrations", "verifier"}
    assert REASONING.needs == {"demonstrations", "thoughts"}


def listed(error: BadOption) -> list[str]:
    """The methods that a message names."""
    return str(error).partition("a method that works without: ")[2].split(", ")


def test_without_demonstrations_the_methods_are_listed_that_need_none() -> None:
    here = env(("4", None), ("4", None))
    check_needs(get_method("rlvr"), here, None)
    with pytest.raises(BadOption, match="'adaback' must have problems with expert traj") as caught:
        check_needs(get_method("adaback"), here, None)
    assert "got none, in the 2 that were read of few. Fix: use data with sol" in str(caught.value)
    assert listed(caught.value) == [
        name for name in methods() if get_method(name).needs == {"verifier"}
    ]


def test_one_demonstration_is_enough_but_every_expert_needs_thoughts_to_imitate_them() -> None:
    here = env(("4", None), ("4", WITH_THOUGHTS), ("4", WITHOUT_THOUGHTS))
    check_needs(get_method("srl-rlvr"), here, None)
    check_needs(REASONING, here, [0, 1])
    with pytest.raises(
        BadOption, match=r"'reasoning' must have experts with recorded thoughts; go"
    ):
        check_needs(REASONING, here, None)
    with pytest.raises(BadOption, match="got 1 of 2 without, in the 3 that were read"):
        check_needs(REASONING, here, None)


def test_without_answers_only_methods_without_a_verdict_work() -> None:
    here = env(("4", WITH_THOUGHTS), (None, WITH_THOUGHTS))
    check_needs(get_method("srl"), here, None)
    with pytest.raises(BadOption, match="must have problems with an answer") as caught:
        check_needs(get_method("rlvr"), here, None)
    assert {"sft", "srl"} <= set(listed(caught.value))
    assert "srl-rlvr" not in listed(caught.value)
    with pytest.raises(BadOption, match="or use a method that works without: none ships"):
        check_needs(get_method("rlvr"), env((None, None)), None)


@pytest.mark.parametrize(
    ("method", "fix"),
    [
        (get_method("opd"), "Fix: set stages.opd.objective.teacher to a model or a server, or"),
        (get_method("pivotrl"), "Fix: set stages.pivots.objective.measure=characters, or"),
        (REASONING, "Fix: set stages.sft.objective.demonstration=outline, use data with thou"),
    ],
)
def test_the_setting_that_fixes_it_is_named_with_its_stage(method: Method, fix: str) -> None:
    with pytest.raises(BadOption, match=re.escape(fix)):
        check_needs(method, env(("4", WITHOUT_THOUGHTS)), None)


def test_a_verifier_that_needs_no_answer_judges_problems_without() -> None:
    class Judging(ReasoningEnv):
        def judge(self, actions):  # type: ignore[no-untyped-def]
            raise NotImplementedError

    problems = ListSource([Problem("p", "?")], "few")
    check_needs(get_method("rlvr"), Judging(problems, ExactVerifier(marker="#")), None)


def test_steps_are_rewarded_without_an_answer_and_outcomes_are_not() -> None:
    here = env((None, WITH_THOUGHTS))
    here.reset(seed=0, options={"reward_mode": "srl"})
    here.step("<think></think>2")
    _, reward, terminated, _, info = here.step("<think></think>#4")
    assert (reward, terminated, info["verdict"]) == (1.0, True, None)
    for options in ({"reward_mode": "rlvr"}, {"reward_mode": "srl", "continuation": "policy"}):
        here.reset(seed=0, options=options)
        with pytest.raises(BadData, match="problem '0' has no answer"):
            here.step("<think></think>#4")

"""Data conditions over any problem source, by hand."""

from __future__ import annotations

import hashlib
import pickle
import re
from typing import Any

import pytest

import srl_env
from srl_env.conditions import DataConditions, with_noise
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.verifiers import ExactVerifier


def solved(name: str, *actions: str) -> Problem:
    steps = tuple(ExpertStep(action, thought=f"why {action}") for action in actions)
    return Problem(name, "?", "1", (ExpertTrajectory(steps),))


SOURCE = ListSource([solved("a", "x = 12", "y = 3", "#1"), solved("b", "z = 4", "#1")], "few")


def actions(problem: Problem) -> tuple[str, ...]:
    return problem.trajectories[0].actions


def test_without_conditions_the_source_is_the_same_object() -> None:
    assert DataConditions().of(SOURCE) is SOURCE


def test_problems_from_the_number_on_have_only_their_answer() -> None:
    few = DataConditions(demonstrated=1).of(SOURCE)
    assert (few.name, len(few), few.index_of("b")) == ("few", 2, 1)
    assert few[0] == SOURCE[0]
    assert (few[1].trajectories, few[1].answer) == ((), "1")


def test_hidden_thoughts_leave_everything_else() -> None:
    hidden = DataConditions(hide_thoughts=True).of(SOURCE)[0]
    assert [step.thought for step in hidden.trajectories[0].steps] == [None] * 3
    assert actions(hidden) == actions(SOURCE[0])


def test_a_wrong_step_has_another_last_digit_and_the_last_step_is_never_wrong() -> None:
    noisy = with_noise(SOURCE[0], 1.0)
    first, second, last = actions(noisy)
    assert (first[:5], second[:4], last) == ("x = 1", "y = ", "#1")
    assert first[5] in set("0123456789") - {"2"}
    assert second[4] in set("0123456789") - {"3"}
    assert noisy.metadata["slips"] == {first: "x = 12", second: "y = 3"}
    assert [step.thought for step in noisy.trajectories[0].steps] == [
        step.thought for step in SOURCE[0].trajectories[0].steps
    ]


def test_a_step_without_digits_becomes_another_step() -> None:
    noisy = with_noise(solved("p", "left", "right", "#1"), 1.0)
    assert actions(noisy) == ("right", "left", "#1")
    assert noisy.metadata["slips"] == {}  # both are correct steps elsewhere
    assert actions(with_noise(solved("p", "left", "#1"), 1.0)) == ("left", "#1")


def test_noise_is_the_same_for_a_problem_wherever_it_stands() -> None:
    conditions = DataConditions(noise=0.5)
    turned = conditions.of(ListSource([SOURCE[1], SOURCE[0]]))
    assert turned[1] == conditions.of(SOURCE)[0]
    assert pickle.loads(pickle.dumps(turned))[1] == turned[1]


def test_every_environment_takes_them_as_options() -> None:
    env = srl_env.make(
        "srl/GSM8K-v0", source="sample", demonstrated=1, noise=1.0, hide_thoughts=True
    ).unwrapped
    assert isinstance(env, ReasoningEnv)
    assert env.reset(seed=0)[1]["reward_mode"] == "rlvr"
    plain = srl_env.make("srl/GSM8K-v0", source="sample").unwrapped.problems
    assert not env.problems[1].trajectories
    assert actions(env.problems[0])[-1] == actions(plain[0])[-1]
    assert actions(env.problems[0])[0] != actions(plain[0])[0]
    own = ReasoningEnv(SOURCE, ExactVerifier(marker="#"), demonstrated=0, reward_mode="srl")
    with pytest.raises(BadOption, match="reward mode 'srl' compares with an expert"):
        own.reset(seed=0)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"noise": 1.5}, "noise must be a fraction from 0 to 1; got 1.5"),
        ({"noise": "x"}, "noise must be a fraction from 0 to 1; got 'x'"),
        ({"noise": True}, "noise must be a fraction from 0 to 1; got True"),
        ({"demonstrated": -1}, "demonstrated must be None or a whole number, at least 0; got -1"),
        ({"demonstrated": "x"}, "demonstrated must be None or a whole number, at least 0; got 'x'"),
        ({"demonstrated": 1.5}, "demonstrated must be None or a whole number, at least 0; got 1.5"),
        ({"hide_thoughts": "yes"}, "hide_thoughts must be true or false; got 'yes'"),
        ({"show_titles": "yes"}, "show_titles must be true or false; got 'yes'"),
    ],
)
def test_impossible_conditions_are_errors(condition: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=re.escape(message)):
        ReasoningEnv(SOURCE, ExactVerifier(marker="#"), **condition)


def test_the_demonstrations_of_the_results_are_the_same_bits() -> None:
    env = srl_env.make(
        "srl/ModularChain-v0",
        difficulty=10,
        max_problems=300,
        noise=0.4,
        hide_thoughts=True,
        demonstrated=48,
    ).unwrapped
    digest = hashlib.blake2b(digest_size=8)
    for index in range(300):
        problem = env.problems[index]
        ways = [[(s.thought, s.action) for s in way.steps] for way in problem.trajectories]
        slips = problem.metadata.get("slips") if ways else None
        digest.update(repr((problem.id, problem.prompt, problem.answer, ways, slips)).encode())
    assert digest.hexdigest() == "8c1094a7a3070bbe"  # of the source that had its own options

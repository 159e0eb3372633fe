from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import srl_env
from srl_agents.expert_data.solutions import read_solution, split_solution
from srl_env.environment import ReasoningEnv
from srl_env.policy import Generation
from srl_env.problem import ExpertStep
from srl_env.rollout import Episode, Step


@pytest.fixture
def gsm8k() -> ReasoningEnv:
    return srl_env.make("srl/GSM8K-v0", source="sample").unwrapped  # type: ignore[return-value]


def episode(env: ReasoningEnv, *steps: Step, **fields: Any) -> Episode:
    verdict = {"correct": True}
    made = Episode(env.problems[0].id, 0, "rlvr", "policy", "step", steps, verdict, None, 0)
    return replace(made, **fields)


def step(text: str, action: str, **fields: Any) -> Step:
    return replace(
        Step((), Generation(text), action, 0, 0.0, {}, True, None, None),
        **fields,
    )


def test_each_turn_of_a_world_is_a_step_with_thought_and_answer(gsm8k: ReasoningEnv) -> None:
    turns = [
        step("<think>look</think>ls", "ls", observation="a b"),
        step("<think></think>go", "go"),
    ]
    found = read_solution(gsm8k, episode(gsm8k, *turns), "teacher")
    assert found.verdict == "accepted"
    assert found.trajectory is not None
    assert found.trajectory.source == "teacher"
    assert found.trajectory.steps == (
        ExpertStep("ls", thought="look", observation="a b"),
        ExpertStep("go"),
    )


def test_wrong_malformed_and_truncated_solutions_are_rejected(gsm8k: ReasoningEnv) -> None:
    good = step("<think></think>x", "x")
    cut = replace(good, generation=Generation("x", finish_reason="length"))
    for steps, verdict, reason in (
        ([good], {"correct": False}, "wrong"),
        ([good], None, "wrong"),
        ([good, replace(good, format_ok=False)], {"correct": True}, "format"),
        ([good, cut], {"correct": True}, "truncated"),
    ):
        found = read_solution(gsm8k, episode(gsm8k, *steps, verdict=verdict), "teacher")
        assert found.verdict == reason
        assert found.trajectory is not None
    nothing = read_solution(gsm8k, episode(gsm8k, step("", " "), verdict={"correct": False}), "t")
    assert (nothing.verdict, nothing.trajectory) == ("wrong", None)


def test_a_whole_solution_is_split_as_the_environment_joins_steps(gsm8k: ReasoningEnv) -> None:
    whole = ExpertStep("one\n\n  two\n```\na\n\nb\n```", thought="why")
    assert split_solution(gsm8k, whole) == [
        ExpertStep("one", thought="why"),
        ExpertStep("two"),
        ExpertStep("```\na\n\nb\n```"),
    ]
    chain = srl_env.make("srl/ModularChain-v0").unwrapped
    assert [s.action for s in split_solution(chain, ExpertStep("a1;b2;#b2;"))] == [
        "a1;",
        "b2;",
        "#b2;",
    ]  # type: ignore[arg-type]
    sentences = split_solution(gsm8k, ExpertStep("We add. We are done."), "sentences")
    assert [s.action for s in sentences] == ["We add.", "We are done."]


def test_a_split_solution_ends_where_its_steps_end_the_episode(gsm8k: ReasoningEnv) -> None:
    answer = gsm8k.problems[0].answer
    text = f"We compute.\n#### {answer}\nI hope this helps."
    whole = episode(gsm8k, step(f"<think></think>{text}", text), granularity="solution")
    found = read_solution(gsm8k, whole, "teacher")
    assert found.verdict == "accepted"
    assert found.trajectory is not None
    assert found.trajectory.actions == ("We compute.", f"#### {answer}")


def test_a_solution_that_states_another_answer_first_is_not_accepted_in_steps(
    gsm8k: ReasoningEnv,
) -> None:
    text = f"#### 1234567\n#### {gsm8k.problems[0].answer}"
    whole = episode(gsm8k, step(f"<think></think>{text}", text), granularity="solution")
    assert read_solution(gsm8k, whole, "teacher").verdict == "split"

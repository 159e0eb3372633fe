"""Graphs of definitions: many right orders, of which the expert shows one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import pytest

from srl_env.problem import Problem
from srl_tasks.generated.definition_graph import ALPHABET, DefinitionGraphEnv, DefinitionGraphSource

# a = 7, d = 4, f = 3 are given; c = 7 - 4 = 3; b = 3 + 4 = 7; e = 7 + 7 = 4 is not needed.
PROBLEM = Problem(
    id="example",
    prompt="b:c+d,d4,c:a-d,a7,e:b+b,f3?bc>",
    answer="b7c3",
    metadata={
        "facts": {"c3;": [], "b7;": ["c3;"], "e4;": ["b7;"], "#b7c3;": ["b7;", "c3;"]},
    },
)


def solve(prompt: str) -> tuple[dict[str, int], dict[str, str], str]:
    """Values, operands of the defined ones and letters asked for, by trying until all is known."""
    body, asked = re.fullmatch(r"(.*)\?([a-z]+)>", prompt).groups()  # type: ignore[union-attr]
    values: dict[str, int] = {}
    operands: dict[str, str] = {}
    parts = body.split(",")
    while len(values) < len(parts):
        for part in parts:
            if len(part) == 2:
                values[part[0]] = int(part[1])
            elif part[2] in values and part[4] in values:
                a, b = values[part[2]], values[part[4]]
                values[part[0]] = (a + b if part[3] == "+" else a - b) % 10
                operands[part[0]] = part[2] + part[4]
    return values, operands, asked


def test_the_expert_agrees_with_an_independent_solver_and_needs_all_its_steps() -> None:
    for index in range(300):
        problem = DefinitionGraphSource((1, 11))[index]
        values, operands, asked = solve(problem.prompt)
        actions = problem.trajectories[0].actions
        assert problem.answer == "".join(f"{name}{values[name]}" for name in asked)
        assert actions[-1] == f"#{problem.answer};"
        needed = set(asked)
        while True:
            more = {x for name in needed for x in operands.get(name, "")} | needed
            if more == needed:
                break
            needed = more
        assert {action[0] for action in actions[:-1]} == needed & set(operands)
        assert all(action == f"{action[0]}{values[action[0]]};" for action in actions[:-1])
        assert len(actions) == problem.metadata["difficulty"] + 1


def test_half_as_many_definitions_again_are_not_needed() -> None:
    for level, definitions in ((1, 1), (2, 3), (5, 7), (6, 9), (11, 16)):
        prompt = DefinitionGraphSource(level)[0].prompt
        assert prompt.count(":") == definitions
        assert len(prompt.partition("?")[0].split(",")) == definitions + 3


def every_right_order(env: DefinitionGraphEnv, problem: Problem, needed: Sequence[str]) -> int:
    """How many orders of the needed steps are legal from the first to the last."""
    return sum(
        all(env.legal(problem, order[:i], action) for i, action in enumerate(order))
        for order in itertools.permutations(needed)
    )


def test_several_orders_are_legal_and_the_expert_shows_one_of_them() -> None:
    env = DefinitionGraphEnv(difficulty=5)
    orders = []
    for index in range(40):
        problem = env.problems[index]
        *needed, answer = problem.trajectories[0].actions
        assert all(env.legal(problem, needed[:i], action) for i, action in enumerate(needed))
        assert env.legal(problem, needed, answer)
        orders.append(every_right_order(env, problem, needed))
    assert sum(count > 1 for count in orders) > 25
    assert max(orders) > 5


def test_the_expert_takes_the_orders_of_a_problem_at_random() -> None:
    """Of two steps that may come in either order, the first in the prompt is not preferred."""
    earlier = []
    for index in range(400):
        problem = DefinitionGraphSource(4)[index]
        facts = problem.metadata["facts"]
        free = [action for action in problem.trajectories[0].actions if not facts[action]]
        if len(free) == 2:
            places = [problem.prompt.index(f"{action[0]}:") for action in free]
            earlier.append(places[0] < places[1])
    assert len(earlier) > 50
    assert sum(earlier) / len(earlier) == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize(
    ("actions", "action", "legal"),
    [
        ([], "c3;", True),
        ([], "b7;", False),
        (["c3;"], "b7;", True),
        (["c3;", "b7;"], "e4;", True),  # right, though not needed
        (["c3;"], "e4;", False),
        (["c3;", "b7;"], "#b7c3;", True),
        (["c3;", "b7;"], "#c3b7;", False),
        (["c3;"], "#b7c3;", False),
        (["c3;"], "c3;", False),
        ([], "a7;", False),
    ],
)
def test_a_step_is_legal_if_it_is_right_new_and_its_inputs_are_known(
    actions: list[str], action: str, legal: bool
) -> None:
    assert DefinitionGraphEnv().legal(PROBLEM, actions, action) is legal


def test_an_order_other_than_the_experts_is_paid_in_full_by_the_outcome() -> None:
    env = DefinitionGraphEnv(difficulty=5, reward_mode="rlvr")
    for index in range(40):
        env.reset(options={"problem": index})
        *needed, answer = (step.action for step in env.expert_steps)
        *_, other = (
            order
            for order in itertools.permutations(needed)
            if all(env.legal(env.problem, order[:i], action) for i, action in enumerate(order))
        )
        if list(other) != needed:
            for action in other:
                assert env.step(action)[4]["legal"]
            _, reward, terminated, _, info = env.step(answer)
            assert (reward, terminated, info["verdict"]["correct"]) == (1.0, True, True)
            return
    pytest.fail("no problem with a second right order among 40")


def test_every_character_is_in_the_alphabet() -> None:
    for index in range(100):
        problem = DefinitionGraphSource((1, 11))[index]
        for step in problem.trajectories[0].steps:
            assert set(f"{problem.prompt}({step.thought}){step.action}") <= {*ALPHABET, *"None"}

"""Chains modulo 10: worked by hand, solved again by an independent reading of the prompt."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from srl_env.conditions import DataConditions
from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_tasks.generated.modular_chain import ALPHABET, ModularChainEnv, ModularChainSource

# f = 5, g = 6; m = 6 - 5 = 1; j = 5 + 1 = 6; a = 6 - 1 = 5.
PROBLEM = Problem(
    id="example",
    prompt="f5,g6,m:g-f,j:f+m,a:j-m?mja>",
    answer="m1j6a5",
    trajectories=(
        ExpertTrajectory(
            (
                ExpertStep("m1;", thought="m:g6-f5"),
                ExpertStep("j6;", thought="j:f5+m1"),
                ExpertStep("a5;", thought="a:j6-m1"),
                ExpertStep("#m1j6a5;"),
            )
        ),
    ),
    metadata={
        "facts": {
            "m1;": [],
            "j6;": ["m1;"],
            "a5;": ["j6;", "m1;"],
            "#m1j6a5;": ["m1;", "j6;", "a5;"],
        },
        "slips": {},
    },
)


def solve(prompt: str) -> tuple[dict[str, int], str]:
    """The value of each variable of a prompt, and the letters asked for: a second opinion."""
    body, asked = re.fullmatch(r"(.*)\?([a-z]+)>", prompt).groups()  # type: ignore[union-attr]
    values: dict[str, int] = {}
    for part in body.split(","):
        name, rest = part[0], part[1:]
        if rest.startswith(":"):
            left, sign, right = rest[1:]
            a, b = values[left], values[right]
            rest = str({"+": a + b, "-": a - b, "*": a * b}[sign] % 10)
        values[name] = int(rest)
    return values, asked


def test_the_first_problem_of_three_definitions_is_the_one_worked_here_by_hand() -> None:
    # k = 4, i = 6; t = 4 + 6 = 0; p = 0 + 4 = 4; s = 6 + 4 = 0.
    problem = ModularChainSource(3)[0]
    assert problem.prompt == "k4,i6,t:k+i,p:t+k,s:i+p?kis>"
    assert problem.answer == "k4i6s0"
    steps = [(step.thought, step.action) for step in problem.trajectories[0].steps]
    assert steps == [
        ("t:k4+i6", "t0;"),
        ("p:t0+k4", "p4;"),
        ("s:i6+p4", "s0;"),
        (None, "#k4i6s0;"),
    ]


@pytest.mark.parametrize("operations", ["+-", "+-*"])
def test_the_expert_agrees_with_an_independent_solver(operations: str) -> None:
    source = ModularChainSource((1, 14), operations=operations)
    for index in range(300):
        problem = source[index]
        values, asked = solve(problem.prompt)
        stated = [step.action for step in problem.trajectories[0].steps]
        assert stated[:-1] == [f"{name}{value};" for name, value in list(values.items())[2:]]
        assert problem.answer == "".join(f"{name}{values[name]}" for name in asked)
        assert stated[-1] == f"#{problem.answer};"


def test_each_variable_comes_from_the_one_before_and_an_earlier_one() -> None:
    for index in range(100):
        *_, definitions = [ModularChainSource(9)[index].prompt.split("?")[0].split(",")]
        names = [part[0] for part in definitions]
        for place, part in enumerate(definitions[2:], 2):
            operands = {part[2], part[4]}
            assert names[place - 1] in operands
            assert operands <= set(names[:place])
            assert len(operands) == 2


def test_three_of_the_last_five_variables_are_asked_for_in_their_order() -> None:
    for index in range(200):
        values, asked = solve(ModularChainSource(7)[index].prompt)
        last = "".join(values)[-5:]
        assert len(asked) == 3
        assert [letter for letter in last if letter in asked] == list(asked)


def test_every_character_is_in_the_alphabet() -> None:
    assert len(set(ALPHABET)) == len(ALPHABET) == 41
    for index in range(100):
        problem = ModularChainSource((1, 18), operations="+-*")[index]
        for step in problem.trajectories[0].steps:
            assert set(f"{problem.prompt}({step.thought}){step.action}") <= {*ALPHABET, *"None"}


def test_steps_in_another_order_than_the_experts_are_legal_where_their_inputs_are_known() -> None:
    env = ModularChainEnv()
    # h = 1 + 2 = 3 and, also from the given values alone, k = 2 - 1 = 1.
    facts = {"h3;": [], "k1;": [], "l4;": ["h3;", "k1;"], "#h3k1l4;": ["h3;", "k1;", "l4;"]}
    free = Problem("free", "b1,c2,h:b+c,k:c-b,l:h+k?hkl>", "h3k1l4", metadata={"facts": facts})
    assert env.legal(free, [], "h3;")
    assert env.legal(free, [], "k1;")
    assert env.legal(free, ["k1;"], "h3;")
    assert env.legal(free, ["k1;", "h3;"], "l4;")
    assert not env.legal(free, ["k1;"], "l4;")


@pytest.mark.parametrize(
    ("actions", "action", "legal"),
    [
        ([], "m1;", True),
        ([], "m2;", False),  # a wrong value
        ([], "j6;", False),  # right, but m is not known yet
        ([], "f5;", False),  # given, not a step
        (["m1;"], "m1;", False),  # stated already
        (["m1;"], "j6;", True),
        (["m2;"], "j6;", False),  # m was stated wrongly
        (["m2;"], "m1;", True),  # mended
        (["m1;", "j6;"], "a5;", True),
        (["m1;", "j6;"], "#m1j6a5;", False),  # a is not known yet
        (["m1;", "j6;", "a5;"], "#m1j6a5;", True),
        (["m1;", "j6;", "a5;"], "#m1j6a4;", False),
        ([], "#m1j6a5;", False),
        ([], "", False),
        ([], "m1;j6;", False),
    ],
)
def test_a_step_is_legal_if_it_is_right_new_and_its_inputs_are_known(
    actions: list[str], action: str, legal: bool
) -> None:
    assert ModularChainEnv().legal(PROBLEM, actions, action) is legal


def test_the_verdict_is_right_for_exactly_the_right_answer_line() -> None:
    verify = ModularChainEnv().verifier.verify
    assert verify(PROBLEM, ["m1;", "#m1j6a5;"]).correct
    for wrong in ("#m1j6a4;", "#j6m1a5;", "#165;", "m1j6a5;", "#;", "", "a5;"):
        assert not verify(PROBLEM, [wrong]).correct


def test_noise_makes_about_that_share_of_steps_wrong_and_leaves_the_answer_line_right() -> None:
    clean, noisy = ModularChainSource(7), DataConditions(noise=0.3).of(ModularChainSource(7))
    wrong = 0
    for index in range(300):
        before, after = clean[index], noisy[index]
        assert (before.prompt, before.answer) == (after.prompt, after.answer)
        was = before.trajectories[0].steps
        now = after.trajectories[0].steps
        assert [step.thought for step in was] == [step.thought for step in now]
        assert was[-1] == now[-1]
        changed = {b.action: a.action for a, b in zip(was, now, strict=True) if a != b}
        assert after.metadata["slips"] == changed
        wrong += len(changed)
    assert wrong / (300 * 7) == pytest.approx(0.3, abs=0.03)


def test_the_first_problems_alone_are_demonstrated_where_so_many_are() -> None:
    all_shown = ModularChainSource(7)
    few = DataConditions(demonstrated=2).of(all_shown)
    assert [few[index] == all_shown[index] for index in range(4)] == [True, True, False, False]
    assert [len(few[index].trajectories) for index in range(4)] == [1, 1, 0, 0]
    assert few[2] == replace(all_shown[2], trajectories=())
    assert ModularChainEnv(demonstrated=2).reset(seed=0)[1]["reward_mode"] == "rlvr"


def test_a_step_that_builds_on_an_experts_slip_is_legal_and_the_slip_is_not() -> None:
    slipped = Problem(
        PROBLEM.id,
        PROBLEM.prompt,
        PROBLEM.answer,
        metadata={**PROBLEM.metadata, "slips": {"m4;": "m1;"}},
    )
    env = ModularChainEnv()
    assert not env.legal(slipped, [], "m4;")
    assert env.legal(slipped, ["m4;"], "j6;")
    assert not env.legal(slipped, ["m5;"], "j6;")


def test_hidden_thoughts_are_not_recorded_and_change_nothing_else() -> None:
    shown = ModularChainSource(5)[0]
    hidden = DataConditions(hide_thoughts=True).of(ModularChainSource(5))[0]
    assert shown.prompt == hidden.prompt
    assert shown.trajectories[0].actions == hidden.trajectories[0].actions
    assert all(step.thought is None for step in hidden.trajectories[0].steps)


def test_the_observation_is_the_problem_with_the_actions_behind_it() -> None:
    env = ModularChainEnv(difficulty=3)
    observation, info = env.reset(options={"problem": 0})
    assert observation == "k4,i6,t:k+i,p:t+k,s:i+p?kis>"
    assert info["messages"] == [{"role": "user", "content": observation}]
    assert env.expert_completion() == "(t:k4+i6)t0;"
    observation, reward, terminated, _, info = env.step("(t:i6+k4)t0;")
    assert observation == "k4,i6,t:k+i,p:t+k,s:i+p?kis>t0;"
    assert (reward, terminated, info["action"], info["legal"]) == (1.0, False, "t0;", True)


def test_a_blind_guess_is_right_once_in_a_thousand() -> None:
    env = ModularChainEnv(difficulty=7)
    right = 0
    for index in range(1000):
        problem = env.problems[index]
        letters = problem.prompt.partition("?")[2].rstrip(">")
        guess = "".join(f"{letter}{digit}" for letter, digit in zip(letters, "123", strict=True))
        right += env.verifier.verify(problem, [f"#{guess};"]).correct
    assert right <= 6


def test_wrong_operations_and_noise_are_errors() -> None:
    with pytest.raises(BadOption, match=r"operations must be one or more of '\+-\*'; got '/'"):
        ModularChainEnv(operations="/")
    with pytest.raises(BadOption, match="one or more of .*; got ''"):
        ModularChainEnv(operations="")
    with pytest.raises(BadOption, match=r"noise must be a fraction from 0 to 1; got 1\.5"):
        ModularChainEnv(noise=1.5)
    with pytest.raises(
        BadOption, match="demonstrated must be None or a whole number, at least 0; got -1"
    ):
        ModularChainEnv(demonstrated=-1)

"""Long addition and multiplication: columns worked by hand, results by Python's integers."""

from __future__ import annotations

import re

import pytest

from srl_env.errors import BadOption
from srl_tasks.generated.column_arithmetic import (
    ALPHABET,
    ColumnArithmeticEnv,
    ColumnArithmeticSource,
)


def steps_of(source: ColumnArithmeticSource, index: int) -> list[tuple[str | None, str]]:
    return [(step.thought, step.action) for step in source[index].trajectories[0].steps]


def test_the_first_sum_of_three_digits_is_the_one_worked_here_by_hand() -> None:
    source = ColumnArithmeticSource(3)
    assert source[0].prompt == "513+289="
    assert steps_of(source, 0) == [
        ("3+9+0=12", "0:2r1;"),
        ("1+8+1=10", "1:0r1;"),
        ("5+2+1=8", "2:8r0;"),
        (None, "#802;"),
    ]


def test_a_product_sums_the_pairs_of_digits_of_each_column() -> None:
    # 22 * 28 = 616: 2*8 = 16; 2*2 + 2*8 + 1 = 21; 2*2 + 2 = 6; nothing is left.
    source = ColumnArithmeticSource(2, operation="*")
    assert source[0].prompt == "22*28="
    assert steps_of(source, 0) == [
        ("2*8+0=16", "0:6r1;"),
        ("2*2+2*8+1=21", "1:1r2;"),
        ("2*2+2=6", "2:6r0;"),
        ("0=0", "3:0r0;"),
        (None, "#616;"),
    ]


@pytest.mark.parametrize("operation", ["+", "*"])
def test_thoughts_columns_and_results_are_right(operation: str) -> None:
    source = ColumnArithmeticSource((1, 12), operation=operation)  # type: ignore[arg-type]
    for index in range(200):
        problem = source[index]
        left, right = map(int, re.split(r"[+*]", problem.prompt.rstrip("=")))
        result = left + right if operation == "+" else left * right
        assert problem.answer == str(result)
        *columns, last = problem.trajectories[0].steps
        digits, carry = "", 0
        for place, step in enumerate(columns):
            assert step.thought is not None
            terms, total = step.thought.split("=")
            assert sum(_product(term) for term in terms.split("+")) == int(total)
            column, digit, next_carry = map(int, re.split("[:r;]", step.action)[:3])
            assert (column, 10 * next_carry + digit) == (place, int(total))
            assert terms.endswith(str(carry))
            digits, carry = f"{digit}{digits}", next_carry
        assert int(f"{carry}{digits}") == result
        assert last.action == f"#{result};"


def _product(term: str) -> int:
    a, _, b = term.partition("*")
    return int(a) * int(b or 1)


@pytest.mark.parametrize("digits", [1, 2, 5, 20])
def test_difficulty_is_the_number_of_digits_of_each_operand(digits: int) -> None:
    for index in range(50):
        operands = re.split(r"[+*]", ColumnArithmeticSource(digits)[index].prompt.rstrip("="))
        assert [len(operand) for operand in operands] == [digits, digits]


def test_only_the_right_next_column_is_legal() -> None:
    env = ColumnArithmeticEnv(difficulty=3)
    problem = env.problems[0]  # 513+289
    assert env.legal(problem, [], "0:2r1;")
    assert not env.legal(problem, [], "0:2r0;")
    assert not env.legal(problem, [], "1:0r1;")
    assert env.legal(problem, ["0:2r1;"], "1:0r1;")
    assert not env.legal(problem, ["0:2r1;"], "0:2r1;")
    assert not env.legal(problem, ["0:2r1;", "1:0r1;"], "#802;")
    assert env.legal(problem, ["0:2r1;", "1:0r1;", "2:8r0;"], "#802;")
    assert not env.legal(problem, ["0:2r1;", "1:0r1;", "2:8r0;"], "#803;")


def test_every_character_is_in_the_alphabet() -> None:
    for operation in ("+", "*"):
        for index in range(50):
            problem = ColumnArithmeticSource((1, 30), operation=operation)[index]  # type: ignore[arg-type]
            for step in problem.trajectories[0].steps:
                shown = f"{problem.prompt}({step.thought or ''}){step.action}"
                assert set(shown) <= set(ALPHABET)


def test_the_longest_expert_fits_into_the_steps_of_an_episode() -> None:
    env = ColumnArithmeticEnv(difficulty=40, operation="*", reward_mode="rlvr")
    env.reset(options={"problem": 0})
    for _ in range(81):
        *_, terminated, truncated, info = env.step(env.expert_completion())
        assert not truncated
    assert terminated
    assert info["verdict"]["correct"]


def test_another_operation_is_an_error() -> None:
    with pytest.raises(BadOption, match=r"operation must be '\+' or '\*'; got '/'"):
        ColumnArithmeticEnv(operation="/")  # type: ignore[arg-type]

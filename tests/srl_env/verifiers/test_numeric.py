from __future__ import annotations

import time
from fractions import Fraction

import pytest

from srl_env.errors import BadData
from srl_env.problem import Problem
from srl_env.verifiers import NumericVerifier
from srl_env.verifiers.numeric import number_in

PROBLEM = Problem("p", "How much?", answer="1,234.50")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42),
        ("1,234", 1234),
        ("$1,234.50", Fraction(2469, 2)),
        ("-$5", -5),
        ("$-5", -5),
        ("−7", -7),
        ("1/4", Fraction(1, 4)),
        (".50", Fraction(1, 2)),
        ("5.", 5),
        ("18%", 18),
        ("18 eggs", 18),
        ("18eggs", 18),
        ("-1/2.", Fraction(-1, 2)),
    ],
)
def test_numbers_are_read_the_ways_people_write_them(text: str, number: Fraction) -> None:
    assert number_in(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "eggs",
        "1,23",
        "12,3456",
        "3/0",
        "1e999999",
        "9" * 1_000_000,
        "1/" + "9" * 99,
        "2 1/2",
        "1 000",
        "1/2/3",
    ],
)
def test_what_is_no_plain_number_is_no_answer(text: str) -> None:
    assert number_in(text) is None


def test_a_third_is_not_0_3333() -> None:
    assert not NumericVerifier().equal("0.3333", "1/3")
    assert NumericVerifier().equal("2/6", "1/3")


@pytest.mark.parametrize(
    "action", ["#### 1234.5", "so #### 3\n#### $1,234.50.", "####1234.50 coins"]
)
def test_the_number_after_the_last_marker_is_compared(action: str) -> None:
    assert NumericVerifier().verify(PROBLEM, ["#### 1", action]).correct


def test_an_expected_answer_that_is_no_number_is_an_error_of_the_data() -> None:
    with pytest.raises(BadData, match="the answer 'many' is no number"):
        NumericVerifier().equal("42", "many")


def test_no_marker_is_a_wrong_answer() -> None:
    verdict = NumericVerifier().verify(PROBLEM, ["1234.5"])
    assert not verdict.correct
    assert verdict.answer is None


def test_a_megabyte_of_hostile_text_is_read_at_once() -> None:
    start = time.perf_counter()
    for text in ("####" * 250_000, "#### " + "," * 1_000_000, "#### " + "1," * 500_000):
        NumericVerifier().verify(PROBLEM, [text])
    assert time.perf_counter() - start < 5

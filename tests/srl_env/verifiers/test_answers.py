"""What counts as the same answer: the tables of docs/rewards.md, and what they do not show."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from srl_env.verifiers import BoxedVerifier, NumericVerifier, StatedVerifier
from srl_env.verifiers.answers import (
    MAX_CHARACTERS,
    Choice,
    Items,
    Number,
    Text,
    number_in,
    read_answer,
)
from srl_env.verifiers.base import AnswerVerifier
from srl_env.verifiers.units import same_unit, unit_named

PAGE = Path(__file__).parents[3] / "docs/rewards.md"
VERIFIERS: dict[str, AnswerVerifier] = {
    "NumericVerifier": NumericVerifier(),
    "StatedVerifier": StatedVerifier(),
    "BoxedVerifier": BoxedVerifier(60),
}


def table_rows() -> Iterator[tuple[str, str, str, bool]]:
    """(verifier, expected, stated, equal) for each example of the page."""
    for name in VERIFIERS:
        table = PAGE.read_text().partition(f"\n**{name}**\n\n")[2].partition("\n\n")[0]
        for line in table.splitlines()[2:]:
            expected, accepted, refused = (
                re.findall("`([^`]+)`", c) for c in line[1:-1].split("|")
            )
            yield from ((name, expected[0], stated, True) for stated in accepted)
            yield from ((name, expected[0], stated, False) for stated in refused)


@pytest.mark.parametrize(("verifier", "expected", "stated", "equal"), list(table_rows()))
def test_the_examples_of_the_page_hold(
    verifier: str, expected: str, stated: str, equal: bool
) -> None:
    assert VERIFIERS[verifier].equal(stated, expected) is equal


def test_the_page_has_examples_for_each_verifier() -> None:
    assert {verifier for verifier, *_ in table_rows()} == set(VERIFIERS)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", Number(Fraction(42))),
        ("-1/2.", Number(Fraction(-1, 2))),
        ("$-5", Number(Fraction(-5), "$")),
        ("5 million dollars", Number(Fraction(5_000_000), "$")),
        ("5 hundred thousand", Number(Fraction(500_000))),
        (r"\frac{1}{2} kg", Number(Fraction(1, 2), "kg")),
        (r"2\frac{1}{2}", Number(Fraction(5, 2))),
        ("1.5x10^3 kg", Number(Fraction(1500), "kg")),
        ("18eggs", Number(Fraction(18), "egg")),
        ("18 red eggs in total", Number(Fraction(18), "egg in red total")),
        ("5 sq. cm", Number(Fraction(5), "cm^2")),
        ("5 cm²", Number(Fraction(5), "cm^2")),
        (r"2.5\,\mathrm{m/s^2}", Number(Fraction(5, 2), "m/s^2")),
        ("9\u202f500", Number(Fraction(9500))),
        ("٣", Number(Fraction(3))),
        ("$20 per day", Number(Fraction(20), "$/d")),
    ],
)
def test_numbers_are_read_with_their_units(text: str, number: Number) -> None:
    assert number_in(text) == number


@pytest.mark.parametrize(
    "text",
    [
        *("", "eggs", "1,23", "12,3456", "3/0", "1e999999", "1e99999999999", "9" * 1_000_000),
        *("1/" + "9" * 99, "1/2/3", "2 3", "5!", "5^2", "5-10", "5 - 10", "5 to 10", "5k", "5x"),
        *("5 = 5 = 5", "(5", "5)", "five", "5 in 3 days", "0x10", "1_000", "NaN", "inf", "."),
        *("2 thirds", "5 tenths", "5 squared", "5 point five", "5 is wrong", "5 factorial"),
        *(r"\frac{1}{2}5", r"\frac123"),
    ],
)
def test_anything_more_than_one_number_is_not_a_number(text: str) -> None:
    assert number_in(text) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("12", Number), ("$3", Number), ("C", Choice), ("(c)", Choice), ("C) seven", Choice),
        ("1, 2", Items), ("{a}", Items), ("yes or no", Items), ("12:45", Text), ("Paris", Text),
        ("x = y", Text), ("", Text), ("[1,2)", Text), ("(1,2), (3,4)", Items),
    ],
)  # fmt: skip
def test_the_expected_answer_decides_its_kind(text: str, kind: type) -> None:
    assert type(read_answer(text)) is kind


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("km per hour", "km/h", True),
        ("miles per hour", "mph", True),
        ("metres", "m", True),
        ("mW", "MW", False),
        ("pounds", "£", True),
        ("pounds", "lbs", True),
        ("lbs", "£", False),
        ("red apples", "apple", True),
        ("apples", "pears", False),
        ("m", "m^2", False),
        ("m", "m/s", False),
        ("cubic m", "m³", True),
    ],
)
def test_units_have_several_spellings(one: str, other: str, same: bool) -> None:
    named = unit_named(one), unit_named(other)
    assert named[0] is not None
    assert named[1] is not None
    assert same_unit(named[0], named[1]) is same


@pytest.mark.parametrize("text", ["x", "5", "or", "to 10", "3 days", "a" * 500 + "!", ""])
def test_what_is_not_a_unit_has_no_name(text: str) -> None:
    assert unit_named(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("*" * 10**6, "$" * 10**6, "\\boxed{" * 10**5, "{" * 10**6, "(" * 10**6, "a or " * 10**5),
        *("1," * 10**6, "1 " * 10**6, "=" * 10**6, '"' * 10**6, "\\(" * 10**5, "\ud800" * 10**5),
        *("answer is " * 10**5, "**" + "a" * 10**6, "_" * 10**6, "," * 10**6, "9" * 10**6),
    ],
)
def test_a_megabyte_of_hostile_text_is_read_at_once(text: str) -> None:
    began = time.thread_time()
    for verifier in (NumericVerifier(), StatedVerifier(), BoxedVerifier(5)):
        assert verifier.equal(text, "5") is False
        assert verifier.equal(text[: MAX_CHARACTERS - 1] + "\u00a7", "5") is False
    read_answer(text).equals(text)
    assert time.thread_time() - began < 5

"""Which example a statement shows."""

from __future__ import annotations

from srl_env.swe.builder.reproduction import Reproduction, awkwardness
from srl_env.swe.builder.script import Outcome

CALLS = (("shop.py", 3),)


def shown(name: str, expected: Outcome, actual: Outcome) -> Reproduction:
    return Reproduction(f"print({name})", name, expected, actual)


def test_an_example_whose_correct_result_is_a_value_comes_first() -> None:
    raises = shown("f", Outcome("", "ValueError: no"), Outcome("1", "", CALLS))
    nothing = shown("g", Outcome("None\n", ""), Outcome("1\n", "", CALLS))
    value = shown("a_longer_name", Outcome("15.0\n", ""), Outcome("45.0\n", "", CALLS))
    fails = shown("a_name", Outcome("15.0\n" * 60, ""), Outcome("", "KeyError: 1", CALLS))
    elsewhere = shown("x", Outcome("2\n", ""), Outcome("3\n", ""))  # not by the buggy function
    ordered = sorted([elsewhere, raises, fails, nothing, value], key=awkwardness)
    assert [one.subject for one in ordered] == ["a_longer_name", "a_name", "g", "f", "x"]

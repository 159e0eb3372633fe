"""Which example a statement shows."""

from __future__ import annotations

import pytest

from srl_env.sandbox import Sandbox
from srl_env.swe.builder.checkout import NO_FILES
from srl_env.swe.builder.project import find_checkout
from srl_env.swe.builder.reproduction import (
    Reproduction,
    awkwardness,
    documented,
    subject_of,
    with_print,
    without_statement,
)
from srl_env.swe.builder.script import Outcome, run_script
from srl_env.swe.builder.source import Source
from tests.srl_env.swe.builder.conftest import SHOP, Write

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


def test_a_value_comes_before_whether_it_equals_another() -> None:
    equal = Reproduction(
        "print(f() == [])\n", "f", Outcome("True\n", ""), Outcome("False", "", CALLS)
    )
    value = Reproduction("print(f())\n", "f", Outcome("[]\n", ""), Outcome("[1, 2]", "", CALLS))
    truth = Reproduction("print(good())\n", "f", Outcome("True\n", ""), Outcome("False", "", CALLS))
    assert sorted([equal, value, truth], key=awkwardness) == [value, truth, equal]


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("total", "The sum of some prices, with a discount."),
        ("Basket.add", ""),  # too short to say anything
        ("Basket", "What someone wants to buy, with its prices."),
        ("add", ""),  # the docstrings of two functions differ
        ("nowhere", ""),
        ("", ""),
    ],
)
def test_the_first_sentence_of_a_docstring_is_quoted(subject: str, said: str) -> None:
    text = '''
def total(prices):
    """The sum of some prices,
    with a discount. More.

    And more."""


class Basket:
    """What someone wants to buy, with its prices."""

    def add(self, price):
        """Adds."""


class Shop:
    def add(self, basket):
        """Adds a basket to those that were sold."""
'''
    assert documented({"shop.py": Source(text, "shop.py")}, subject) == said


_STOCK = """\
from stock import Stock, days_left
stock = Stock()
stock.receive("a", 5)
stock.ship("o")
"""


@pytest.mark.parametrize(
    ("last", "called", "entered", "subject"),
    [
        (
            "print(days_left(stock, 10))",
            ["Stock.ship"],
            ["Stock.receive", "days_left"],
            "days_left",
        ),
        ("print(len(stock.ship('p')))", [], ["Stock.ship", "Stock.reserve"], "Stock.ship"),
        ("print(stock.sort().rows())", ["Table.sort"], ["Table.sort", "Table.rows"], "Table.sort"),
        ("print(Stock())", [], ["Stock.receive", "Stock.__init__", "Stock.__repr__"], "Stock"),
        ("print(made(1))", ["_build"], ["wrapper"], ""),
    ],
)
def test_the_subject_is_what_the_last_statement_calls(
    last: str, called: list[str], entered: list[str], subject: str
) -> None:
    assert subject_of(_STOCK + last, called, entered) == subject


@pytest.mark.parametrize(
    ("last", "entered"),
    [
        ("print(dearest([total([1]), 2]))", [4, 11]),  # lines of shop/prices.py
        ("print(dearest([1])); total([None])", [4]),
        ("print(dearest([1])); None.lost", []),  # the script itself fails
    ],
)
def test_what_a_script_calls_is_noted_and_what_it_fails_in(
    last: str, entered: list[int], repository: Write, sandbox: Sandbox
) -> None:
    checkout = find_checkout(repository(SHOP))
    script = f"from shop.prices import dearest, total\n{last}\n"
    outcome = run_script(sandbox, checkout, script, NO_FILES)
    assert outcome is not None
    assert outcome.entered == tuple(("shop/prices.py", line) for line in entered)


_LONG = """\
from shop import Basket, total

def given():
    return 3
spare = Basket(given())

class Item:
    price = 3
print(total([Item()]))
"""


def test_an_example_is_shortened_by_a_statement_and_what_only_that_needs() -> None:
    without_spare = without_statement(_LONG, 2)
    assert without_spare == (
        "from shop import total\n\nclass Item:\n    price = 3\n\nprint(total([Item()]))\n"
    )
    assert without_statement(_LONG, 0) == without_statement(_LONG, 4) == ""
    assert (
        without_statement(without_spare, 1) == "from shop import total\n\nprint(total([Item()]))\n"
    )


def test_an_example_prints_what_it_assigns_last() -> None:
    assert with_print("from a import f\nx = f()\n") == "from a import f\nx = f()\nprint(x)\n"
    assert with_print("from a import f\nx, y = f()\n") == with_print("f()\n") == ""

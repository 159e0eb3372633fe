"""Failing tests as scripts of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from srl_env.swe.builder.assertions import assertion_cases, failure_scripts
from srl_env.swe.builder.checkout import Checkout
from srl_env.swe.builder.project import Project
from srl_env.swe.task import Repository

HEAD = """import pytest
import shop
from shop import Basket, total

RATE = 0.5


def twice(value):
    return 2 * value


@pytest.fixture
def basket():
    return Basket()


"""


def script_of(folder: Path, body: str, line: str, name: str = "test_a", params: str = "") -> str:
    """The script for a test whose failure is at the line that has a text in it."""
    text = HEAD + body
    (folder / "test_shop.py").write_text(text)
    number = next(n for n, have in enumerate(text.splitlines(), 1) if line in have)
    return next(failure_scripts(project(folder, name, params), f"test_shop.py::{name}", number), "")


def project(folder: Path, name: str, params: str = "") -> Project:
    test = f"test_shop.py::{name}"
    return Project(
        name="shop",
        checkout=Checkout(folder, Repository("shop", tests=(test,)), ("test_shop.py",)),
        excluded={},
        sources={},
        targets=(),
        suite_s=1.0,
        seconds={test: 1.0},
        visible_files=(),
        parameters={test: {"count": params}} if params else {},
    )


def test_values_that_nothing_uses_are_left_out(tmp_path: Path) -> None:
    body = """def test_a():
    prices = [1]
    wanted = {"sum": 2}
    sum_ = prices[0]
    twice(3)
    found = total(prices)
    assert found == wanted["sum"]
"""
    assert script_of(tmp_path, body, "assert found").endswith(
        "prices = [1]\ntwice(3)\nfound = total(prices)\nprint(repr(found))\n"
    )


def test_it_ends_with_a_print_of_what_is_asserted(tmp_path: Path) -> None:
    body = """def test_a():
    \"\"\"Totals.\"\"\"
    prices = [1, twice(2)]
    assert total([]) == 0
    assert total(prices, RATE) == 2.5
    assert total([1]) == 3
"""
    assert script_of(tmp_path, body, "2.5") == (
        "from shop import total\n\n"
        "RATE = 0.5\ndef twice(value):\n    return 2 * value\n\n"
        "prices = [1, twice(2)]\nprint(repr(total(prices, RATE)))\n"
    )


def test_an_expected_exception_becomes_the_call_alone(tmp_path: Path) -> None:
    body = "def test_a():\n    with pytest.raises(ValueError):\n        total('x')\n"
    expected = "from shop import total\n\nprint(repr(total('x')))\n"
    assert script_of(tmp_path, body, "total('x')") == expected


def test_parameters_become_assignments(tmp_path: Path) -> None:
    body = "def test_a(count):\n    assert total([count]) == count\n"
    script = script_of(tmp_path, body, "== count", params="3")
    assert script.endswith("count = 3\nprint(repr(total([count])))\n")


def test_a_parameter_that_is_only_expected_is_left_out(tmp_path: Path) -> None:
    body = "def test_a(count):\n    assert total([1, 2]) == count\n"
    script = script_of(tmp_path, body, "== count", params="3")
    assert script == "from shop import total\n\nprint(repr(total([1, 2])))\n"


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("def test_a(basket):\n    assert basket.total() == 0\n", "basket.total"),
        ("def test_a():\n    assert total([1]) == pytest.approx(1, pytest)\n", "nowhere"),
        ("class TestB:\n    def test_a(self):\n        assert self.x == 0\n", "self.x"),
        ("async def test_a():\n    assert total([]) == 0\n", "total([])"),
    ],
)
def test_what_needs_more_is_no_script(tmp_path: Path, body: str, line: str) -> None:
    if line == "nowhere":
        body, line = body.replace("total([1])", "pytest.approx(1)"), "approx"
    name = "TestB::test_a" if "class" in body else "test_a"
    assert script_of(tmp_path, body, line, name) == ""


def test_what_tests_compare_becomes_cases(tmp_path: Path) -> None:
    body = """def test_a():
    assert total([]) == 0
    basket = Basket()
    basket.add(1)
    assert basket.total() == 1
    assert basket.items
"""
    (tmp_path / "test_shop.py").write_text(HEAD + body)
    setup = "from shop import Basket\n\nbasket = Basket()\nbasket.add(1)\n"
    assert list(assertion_cases(project(tmp_path, "test_a"))) == [
        ("test_shop.py::test_a 1", setup, "basket.total()"),
        ("test_shop.py::test_a 2", setup, "basket.items"),
    ]

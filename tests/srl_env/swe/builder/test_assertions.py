"""Failing tests as scripts of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from srl_env.swe.builder.assertions import assertion_cases, failure_scripts
from srl_env.swe.builder.checkout import Checkout
from srl_env.swe.builder.project import Project
from srl_env.swe.builder.testing_code import failing_code
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


def script_of(
    folder: Path,
    body: str,
    line: str,
    name: str = "test_a",
    params: str = "",
    more: dict[str, str] | None = None,
) -> str:
    """The best script for a test whose failure is at the line that has a text in it."""
    text = HEAD + body
    (folder / "test_shop.py").write_text(text)
    number = next((n for n, have in enumerate(text.splitlines(), 1) if line in have), 1)
    tested = project(folder, name, params, more)
    return next(failure_scripts(tested, f"test_shop.py::{name}", number), "")


def project(
    folder: Path, name: str, params: str = "", more: dict[str, str] | None = None
) -> Project:
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
        parameters={test: {"count": params, **(more or {})}} if params else {},
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
        "RATE = 0.5\n\ndef twice(value):\n    return 2 * value\n\n"
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
        ("def test_a(tmp_path):\n    assert total(tmp_path) == 0\n", "total(tmp_path)"),
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


def test_attributes_of_a_class_and_what_they_need_become_assignments(tmp_path: Path) -> None:
    body = """class TestB:
    price = 3
    prices = [price, 4]

    def test_a(self):
        assert 7 == total(self.prices)
"""
    assert script_of(tmp_path, body, "7 ==", "TestB::test_a") == (
        "from shop import total\n\nprice = 3\nprices = [price, 4]\nprint(repr(total(prices)))\n"
    )


def test_a_fixture_of_the_module_is_made_in_place(tmp_path: Path) -> None:
    body = "def test_a(basket):\n    assert not basket.total()\n"
    script = "from shop import Basket\n\nbasket = Basket()\nprint(repr(basket.total()))\n"
    assert script_of(tmp_path, body, "basket.total") == script


@pytest.mark.parametrize(
    ("end", "due"),
    [
        ("return till", "from shop import Till\n\ntill = Till(1)\nprint(repr(till.total()))\n"),
        ("yield till\n    till.close()", ""),  # what comes after it would be lost
    ],
)
def test_a_fixture_of_a_conftest_is_made_in_place(tmp_path: Path, end: str, due: str) -> None:
    fixture = f"@pytest.fixture\ndef till():\n    till = Till(1)\n    {end}\n"
    (tmp_path / "conftest.py").write_text(f"import pytest\nfrom shop import Till\n\n\n{fixture}")
    body = "def test_a(till):\n    assert till.total() == 1\n"
    assert script_of(tmp_path, body, "till.total") == due


def test_an_assertion_in_a_loop_becomes_a_print_in_the_loop(tmp_path: Path) -> None:
    body = """def test_a():
    for number in (1, 2):
        assert number
        assert total([number]) == number
    assert total([]) == 0
"""
    assert script_of(tmp_path, body, "== number") == (
        "from shop import total\n\nfor number in (1, 2):\n    print(repr(total([number])))\n"
    )


UNITTEST = """import unittest

from . import Totals


class BasketTest(Totals, unittest.TestCase):
    rate = 2

    def basket(self, price):
        return Basket(price * self.rate)

    def setUp(self):
        self.empty = Basket()

    def test_a(self):
        basket = self.basket(3)
        self.assertEqual(6, basket.total())
        self.assertIn(6, self.empty.prices())
        with self.assertRaises(ValueError):
            basket.add(-1)
"""


@pytest.mark.parametrize(
    ("line", "due"),
    [
        ("6, basket", "basket = make_basket(3)\nprint(repr(basket.total()))\n"),
        ("assertIn", "basket = make_basket(3)\nprint(repr(6 in empty.prices()))\n"),
        ("add(-1)", "basket = make_basket(3)\nprint(repr(basket.add(-1)))\n"),
    ],
)
def test_a_unittest_loses_its_class(tmp_path: Path, line: str, due: str) -> None:
    (tmp_path / "__init__.py").write_text("")
    script = script_of(tmp_path, UNITTEST, line, "BasketTest::test_a")
    start = (
        "rate = 2\n\ndef make_basket(price):\n    return Basket(price * rate)\n\nempty = Basket()\n"
    )
    assert script == f"from shop import Basket\n\n{start}{due}"


def test_a_test_of_a_base_class_in_another_module_has_the_names_of_both(tmp_path: Path) -> None:
    mixin = """from shop import total


class Totals:
    def test_b(self):
        assert total(self.basket(1)) == 2
"""
    (tmp_path / "__init__.py").write_text(mixin)
    script = script_of(tmp_path, UNITTEST, "nowhere", "BasketTest::test_b")
    assert script == (
        "from shop import Basket, total\n\nrate = 2\n\ndef basket(price):\n"
        "    return Basket(price * rate)\n\nempty = Basket()\nprint(repr(total(basket(1))))\n"
    )


def test_the_code_of_a_test_ends_at_a_line(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "test_shop.py").write_text(HEAD + UNITTEST)
    number = (HEAD + UNITTEST).splitlines().index("        self.assertEqual(6, basket.total())") + 1
    tested = project(tmp_path, "BasketTest::test_a")
    assert failing_code(tested, "test_shop.py::BasketTest::test_a", number) == (
        "basket = self.basket(3)\nself.assertEqual(6, basket.total())"
    )


def test_the_code_of_a_test_is_known_though_pytest_makes_its_arguments(tmp_path: Path) -> None:
    text = "def test_a(tmp_path):\n    path = tmp_path / 'a'\n    assert path.exists()\n"
    (tmp_path / "test_shop.py").write_text(text)
    found = failing_code(project(tmp_path, "test_a"), "test_shop.py::test_a", 3)
    assert found == "path = tmp_path / 'a'\nassert path.exists()"


def test_another_script_makes_the_calls_of_earlier_assertions(tmp_path: Path) -> None:
    body = """def test_a():
    basket = Basket()
    assert len([1]) == 1
    assert basket.add(3) is None
    assert basket.total() == 3
"""
    (tmp_path / "test_shop.py").write_text(HEAD + body)
    line = len((HEAD + body).splitlines())
    found = list(failure_scripts(project(tmp_path, "test_a"), "test_shop.py::test_a", line))
    start = "from shop import Basket\n\nbasket = Basket()\n"
    assert found[0] == f"{start}print(repr(basket.total()))\n"
    assert f"{start}basket.add(3)\nprint(repr(basket.total()))\n" in found


def test_an_object_as_a_parameter_is_taken_from_its_mark(tmp_path: Path) -> None:
    body = """@pytest.mark.parametrize("left, count", [(1, Basket(1)), pytest.param(2, Basket(2))])
def test_a(left, count):
    assert count.total() == left
"""
    script = script_of(tmp_path, body, "== left", params="<1>", more={"left": "2"})
    assert script == "from shop import Basket\n\ncount = Basket(2)\nprint(repr(count.total()))\n"
    assert script_of(tmp_path, body, "== left", params="<7>", more={"left": "2"}) == ""


def test_helpers_are_imported_and_tests_are_not(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/entities.py").write_text("")
    (tmp_path / "tests/test_more.py").write_text("")
    head = "from .entities import Thing\nfrom tests.test_more import More\nfrom maths import *\n"
    for number, (name, due) in enumerate(
        (
            ("Thing", "from tests.entities import Thing\n\nprint(repr(Thing()))\n"),
            ("More", ""),
            ("cos", "from maths import *\n\nprint(repr(cos()))\n"),
        )
    ):
        text = f"{head}def test_a():\n    assert {name}() == 1\n"
        (tmp_path / f"tests/test_{number}.py").write_text(text)
        found = failure_scripts(project(tmp_path, "test_a"), f"tests/test_{number}.py::test_a", 5)
        assert next(found, "") == due


def test_a_failure_before_an_assertion(tmp_path: Path) -> None:
    body = "def test_a():\n    prices = total('x')\n    assert prices == 3\n"
    script = "from shop import total\n\nprices = total('x')\nprint(repr(prices))\n"
    assert script_of(tmp_path, body, "total('x')") == script


def test_a_test_without_an_assertion_ends_with_its_last_call(tmp_path: Path) -> None:
    body = "def test_b():\n    total('y')\n"
    script = "from shop import total\n\nprint(repr(total('y')))\n"
    assert script_of(tmp_path, body, "total('y')", "test_b") == script


def test_a_class_of_the_module_keeps_its_decorators(tmp_path: Path) -> None:
    body = "@shop.kept\nclass Thing:\n    a = 1\n\n\ndef test_a():\n    assert Thing() == 1\n"
    script = script_of(tmp_path, body, "== 1")
    assert "@shop.kept\nclass Thing:\n    a = 1\n" in script


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

"""A small shop with a fault, its hidden tests, and what it takes to grade changes to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from srl_env.errors import SandboxUnavailable
from srl_env.grading import GradingTask, OracleCase, warm_judges
from srl_env.sandbox import Change, Limits, Sandbox, Snapshot, open_sandbox

FAULTY = '''
def total(prices, discount=0.0):
    """The sum of prices, less the discount (0.25 is a quarter off)."""
    return sum(prices)


def parse(text):
    """Cents in a price like 1.50."""
    whole, _, part = text.partition(".")
    return int(whole) * 100 + int(part or 0)
'''
GOLD = FAULTY.replace("return sum(prices)", "return sum(prices) * (1 - discount)")
TESTS = """
import pytest

from shop.prices import parse, total


def test_a_discount_is_taken_off():
    assert total([10, 20], 0.5) == 15


def test_no_discount_is_the_sum():
    assert total([1, 2, 3]) == 6


def test_cents_are_read():
    assert parse("1.50") == 150


def test_words_are_refused():
    with pytest.raises(ValueError):
        parse("free")
"""
FILE = "tests/test_prices.py"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """The namespaces backend, tried out; skips where the kernel does not allow it."""
    try:
        found = open_sandbox("namespaces", preload=warm_judges())
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    yield found
    found.close()


@pytest.fixture
def task(tmp_path: Path) -> GradingTask:
    """Mending the discount, judged by oracle cases and tests."""
    tree = tmp_path / "tree"
    (tree / "shop").mkdir(parents=True)
    (tree / "shop" / "__init__.py").write_text("")
    (tree / "shop" / "prices.py").write_text(FAULTY)
    setup = "from shop.prices import parse, total"
    return GradingTask(
        tree=tree,
        hidden={FILE: TESTS.encode()},
        fail_to_pass=(f"{FILE}::test_a_discount_is_taken_off",),
        pass_to_pass=tuple(
            f"{FILE}::{name}"
            for name in (
                "test_no_discount_is_the_sum",
                "test_cents_are_read",
                "test_words_are_refused",
            )
        ),
        cases=(
            OracleCase("half off", setup, "total([10, 20], 0.5)", 15.0),
            OracleCase("a quarter off", setup, "total([8], discount=0.25)", 6.0),
            OracleCase("cents", setup, "parse('1.50')", 150),
            OracleCase("words", setup, "parse('free')", raises="ValueError"),
        ),
        limits=Limits(memory_bytes=256 << 20),
        timeout_s=20,
    )


def patch(files: dict[str, str | bytes]) -> Snapshot:
    """A workspace in which files were written."""
    contents = [text.encode() if isinstance(text, str) else text for text in files.values()]
    changes = tuple(
        Change("added", path, "file", 0o644, len(content), 1)
        for path, content in zip(files, contents, strict=True)
    )
    return Snapshot(changes, tuple(contents))

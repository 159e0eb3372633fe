"""A sandbox to build in, and small repositories to build from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from srl_env.errors import SandboxUnavailable
from srl_env.sandbox import Sandbox, open_sandbox
from srl_env.swe.builder.checkout import warm_probes

PRICES = '''"""Prices."""


def total(prices, discount=0.0):
    """The sum of prices, less the discount (0.25 is a quarter off)."""
    if not prices:
        return 0
    return sum(prices) * (1 - discount)  # never negative


def dearest(prices, count=1):
    """The highest prices, highest first."""
    return sorted(prices, reverse=True)[:count]
'''
TESTS = """import pytest

from shop.prices import dearest, total


def test_a_discount_is_taken_off():
    assert total([10, 20], 0.5) == 15
    assert total([40], 0.25) == 30


def test_nothing_costs_nothing():
    assert total([]) == 0


@pytest.mark.parametrize("count", [1, 2])
def test_the_dearest(count):
    prices = [3, 1, 2]
    assert dearest(prices, count) == [3, 2][:count]
"""
SHOP: Mapping[str, str] = {
    "shop/__init__.py": "",
    "shop/prices.py": PRICES,
    "tests/test_prices.py": TESTS,
    "tests/test_import.py": (
        "import shop\n\n\ndef test_it_is_there():\n    assert shop\n\n\n"
        "def test_it_has_a_name():\n    assert shop.__name__ == 'shop'\n"
    ),
    ".git/config": "[core]\n",
    "shop/__pycache__/old.pyc": "",
}

Write = Callable[[Mapping[str, str]], Path]


def write_repository(folder: Path, files: Mapping[str, str]) -> Path:
    """A folder with these files, path → text."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Write:
    """Writes a repository called "shop"."""
    return lambda files: write_repository(tmp_path / "shop", files)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """The namespaces backend, tried out; skips where the kernel does not allow it."""
    try:
        found = open_sandbox("namespaces", preload=warm_probes())
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    yield found
    found.close()

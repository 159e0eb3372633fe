"""What an expert prints to check a suspicion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from srl_env.swe.builder.source import Source
from srl_env.swe.builder.watched import Watched, watched

RIGHT = """\
def total(prices, off=0):
    found = sum(prices) * (1 - off)
    if len(prices) >= 3:
        found = round(found, 2)
    for price in prices[1:]:
        found += price.extra()
    return max(0, found)
"""


def difference(old: str, new: str) -> Watched | None:
    before, after = Source(RIGHT.replace(new, old), "shop.py"), Source(RIGHT, "shop.py")
    return watched(before, after, before.functions[0])


@pytest.mark.parametrize(
    ("old", "new", "due"),
    [
        ("(1 + off)", "(1 - off)", (2, "1 + off", "1 - off")),
        ("> 3", ">= 3", (3, "len(prices) > 3", "len(prices) >= 3")),
        ("[2:]", "[1:]", (5, "prices[2:]", "prices[1:]")),
        ("min(0", "max(0", (7, "min(0, found)", "max(0, found)")),
    ],
)
def test_the_smallest_expression_that_differs(
    old: str, new: str, due: tuple[int, str, str]
) -> None:
    assert difference(old, new) == Watched("shop.py", *due)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("price.more()", "price.extra()"),  # to call it once more may have an effect
        (
            "        found = round(found, 2)\n",
            "        found = round(found, 3)\n        prices = 1\n",
        ),
        ("off=1", "off=0"),  # a default is not evaluated when the function runs
        ("return found", "return max(0, found)\n    return"),
    ],
)
def test_what_cannot_be_evaluated_again_is_left_alone(old: str, new: str) -> None:
    before, after = Source(RIGHT.replace(new, old), "shop.py"), Source(RIGHT, "shop.py")
    if new not in RIGHT:
        before, after = Source(RIGHT, "shop.py"), Source(RIGHT.replace(old, new), "shop.py")
    assert watched(before, after, before.functions[0]) is None


def test_the_script_prints_both_values_whenever_the_line_runs(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(RIGHT.replace(">= 3", "> 3"))
    found = difference("> 3", ">= 3")
    assert found is not None
    script = found.script("from shop import total\n\ntotal([1])\ntotal([])")
    ran = subprocess.run(
        [sys.executable, "-c", script + "\ntotal([1, 2, 3][:0] + [1, 1, 1][:3][:0])"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stderr.splitlines() == ["len(prices) > 3 -> False", "len(prices) >= 3 -> False"] * 3
    assert found.values(ran.stderr) is None
    seen = f"{ran.stderr}len(prices) > 3 -> False\nlen(prices) >= 3 -> True\n"
    assert found.values(seen) == ("False", "True")

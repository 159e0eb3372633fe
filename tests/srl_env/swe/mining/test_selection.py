"""What of a commit's patch is work to be done."""

from __future__ import annotations

from srl_env.swe.mining.selection import without_layout

BEFORE = '''\
"""Prices."""

def total(prices, off = 0):
    """The sum."""
    return sum(prices)*(1+off)  # all


def mean( prices ):
    return total(prices)/len(prices)
'''
AFTER = '''\
"""Prices of things."""

def total(prices, off=0):
    """The sum, with a discount."""
    return sum(prices) * (1 - off)  # all of them


def mean(prices):
    # no prices
    return total(prices) / len(prices)
'''


def test_hunks_of_layout_comments_and_docstrings_are_left_out() -> None:
    assert without_layout(BEFORE, AFTER) == BEFORE.replace(
        "    return sum(prices)*(1+off)  # all\n",
        "    return sum(prices) * (1 - off)  # all of them\n",
    )


def test_a_patch_of_code_alone_stays_as_it_is() -> None:
    after = BEFORE.replace("1+off", "1-off").replace("len(prices)", "max(1, len(prices))")
    assert without_layout(BEFORE, after) == after
    assert without_layout(BEFORE, BEFORE) == BEFORE


def test_the_number_of_a_version_is_no_work() -> None:
    before = '__version__ = "1.0"\nRATE = 1\n'
    after = '__version__ = "1.1"\nRATE = 2\n'
    assert without_layout(before, after) == '__version__ = "1.0"\nRATE = 2\n'

"""Splits, difficulty, and which bugs are put together."""

from __future__ import annotations

from collections import Counter

import pytest

from srl_env.swe.build.plan import difficulty, split_of


def test_splits_are_about_seventy_ten_twenty() -> None:
    counts = Counter(split_of("shop", f"shop/prices.py:f{number}") for number in range(10_000))
    assert counts["train"] == pytest.approx(7_000, abs=200)
    assert counts["dev"] == pytest.approx(1_000, abs=120)
    assert counts["test"] == pytest.approx(2_000, abs=160)


def test_a_function_stays_in_its_split() -> None:
    assert split_of("shop", "shop/prices.py:total") == split_of("shop", "shop/prices.py:total")
    assert {split_of(f"shop{number}", "a.py:f") for number in range(50)} == {"train", "dev", "test"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"bugs": 1, "hops": 0, "failing": 1, "lines": 60, "raises": True}, 0.3),
        ({"bugs": 1, "hops": 0, "failing": 10, "lines": 6, "raises": True}, 0.03),
        ({"bugs": 3, "hops": 4, "failing": 1, "lines": 100, "raises": False}, 1.0),
        ({"bugs": 2, "hops": 2, "failing": 3, "lines": 30, "raises": False}, 0.55),
    ],
)
def test_difficulty_by_hand(settings: dict[str, int], expected: float) -> None:
    assert difficulty(**settings) == pytest.approx(expected, abs=1e-3)  # type: ignore[arg-type]

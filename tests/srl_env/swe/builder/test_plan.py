"""Splits, difficulty, and which bugs are put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from srl_env.swe.builder.plan import difficulty, fill_splits, joined, split_of


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


def by_hash(names: Sequence[str]) -> dict[str, str]:
    return {name: split_of("shop", name) for name in names}


def test_three_functions_fill_three_splits_and_fewer_stay_as_they_are() -> None:
    for first in range(100):
        names = [f"a.py:f{number}" for number in range(first, first + 8)]
        for count in range(3, 9):
            found = fill_splits("shop", by_hash(names[:count]))
            assert set(found.values()) == {"train", "dev", "test"}
            assert list(found) == names[:count]
        for few in (names[:2], names[:1], []):
            assert fill_splits("shop", by_hash(few)) == by_hash(few)


def test_splits_that_are_filled_by_themselves_stay_and_few_functions_are_moved() -> None:
    many = by_hash([f"a.py:f{number}" for number in range(60)])
    assert fill_splits("shop", many) == many
    one_way = {f"a.py:f{number}": "train" for number in range(9)}
    found = fill_splits("shop", one_way)
    assert Counter(found.values()) == {"train": 7, "dev": 1, "test": 1}
    assert fill_splits("shop", dict(reversed(one_way.items()))) == found  # in any order


def test_a_function_that_is_added_moves_two_others_at_most() -> None:
    for size in range(3, 30):
        before = fill_splits("shop", by_hash([f"a.py:f{number}" for number in range(size)]))
        after = fill_splits("shop", by_hash([f"a.py:f{number}" for number in range(size + 1)]))
        assert sum(after[name] != split for name, split in before.items()) <= 3


def test_functions_of_the_same_tasks_are_one_group() -> None:
    found = joined([("b", "c"), ("d",), ("c", "a"), ("e", "f"), ("d",)])
    assert found == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "e", "f": "e"}

from __future__ import annotations

from collections import Counter

import pytest

from srl_env.data import FRACTIONS, split_of
from srl_env.errors import BadOption


def test_splits_get_their_fractions() -> None:
    counts = Counter(split_of(f"problem {n}") for n in range(20_000))
    for split, fraction in FRACTIONS.items():
        assert counts[split] / 20_000 == pytest.approx(fraction, abs=0.008)  # 4 std of 0.9


def test_a_problem_stays_in_its_split() -> None:
    assert [split_of(f"p{n}", {"a": 0.5, "b": 0.5}) for n in range(8)] == list("abaaaaba")


def test_a_split_may_be_all() -> None:
    assert {split_of(str(n), {"all": 1.0}) for n in range(100)} == {"all"}


@pytest.mark.parametrize("fractions", [{"a": 0.5}, {"a": 1.5, "b": -0.5}])
def test_fractions_sum_to_one(fractions: dict[str, float]) -> None:
    with pytest.raises(BadOption, match="fractions must not be negative and sum to 1"):
        split_of("p", fractions)

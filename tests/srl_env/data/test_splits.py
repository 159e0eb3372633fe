from __future__ import annotations

from collections import Counter

import pytest

from srl_env.data import SHARES, split_of
from srl_env.errors import BadOption


def test_parts_get_their_shares() -> None:
    counts = Counter(split_of(f"problem {n}") for n in range(20_000))
    for part, share in SHARES.items():
        assert counts[part] / 20_000 == pytest.approx(share, abs=0.008)  # 4 deviations of 0.9


def test_a_problem_stays_in_its_part() -> None:
    assert [split_of(f"p{n}", {"a": 0.5, "b": 0.5}) for n in range(8)] == list("abaaaaba")


def test_a_part_may_be_all() -> None:
    assert {split_of(str(n), {"all": 1.0}) for n in range(100)} == {"all"}


@pytest.mark.parametrize("shares", [{"a": 0.5}, {"a": 1.5, "b": -0.5}])
def test_shares_are_shares(shares: dict[str, float]) -> None:
    with pytest.raises(BadOption, match="shares are not negative and sum to 1"):
        split_of("p", shares)

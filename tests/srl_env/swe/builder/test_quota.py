"""Quotas of kinds of bugs, worked by hand."""

from __future__ import annotations

from collections import Counter

from srl_env.swe.builder.quota import Quotas


def run(quotas: Quotas[bool], size: int) -> list[str]:
    """The kinds in the order in which they are tried; a candidate is whether it becomes a task."""
    tried = []
    while taken := quotas.take(size):
        for kind, works in taken:
            tried.append(kind)
            quotas.kept[kind] += works
    return tried


def test_the_share_of_kinds_without_candidates_goes_to_the_others() -> None:
    candidates = {"a": iter([True] * 9), "b": iter([True] * 2), "c": iter([False] * 5)}
    quotas = Quotas(candidates, 6)
    assert [quotas.quota(kind) for kind in "abc"] == [2, 2, 2]
    tried = run(quotas, 1)
    # a and b fill their 2 first; c never does, and its five candidates come before a third of a.
    assert "".join(tried) == "abcccccab" + "aa"
    assert quotas.kept == {"a": 4, "b": 2, "c": 0}
    assert quotas.exhausted == {"b", "c"}


def test_no_kind_is_above_its_quota_while_others_have_candidates() -> None:
    for size in (1, 2, 4, 32):
        works = {
            "a": [True] * 20,
            "b": [False, False, True] * 4,
            "c": [False] * 3 + [True] * 4,
            "d": [True],
        }
        quotas = Quotas({kind: iter(all_of) for kind, all_of in works.items()}, 12)
        run(quotas, size)
        # 12 of 4 kinds are 3 each. d has one only: the others share 11, at most 4 each.
        assert quotas.kept.total() == 12
        assert quotas.kept["d"] == 1
        assert sorted(quotas.kept[kind] for kind in "abc") == [3, 4, 4]


def test_a_kind_of_twice_the_weight_has_twice_the_quota() -> None:
    candidates = {kind: iter([True] * 9) for kind in "abc"}
    quotas = Quotas(candidates, 8, {"a": 2})
    assert [quotas.quota(kind) for kind in "abc"] == [4, 2, 2]
    run(quotas, 3)
    assert quotas.kept == {"a": 4, "b": 2, "c": 2}


def test_without_a_number_every_candidate_is_tried_and_kinds_take_turns() -> None:
    quotas = Quotas({"a": iter([True, False, True]), "b": iter([False])}, None)
    tried = run(quotas, 2)
    assert Counter(tried) == {"a": 3, "b": 1}
    assert quotas.kept == {"a": 2, "b": 0}


def test_a_kind_that_is_tried_in_vain_does_not_keep_others_waiting() -> None:
    quotas = Quotas({"a": iter([False] * 99), "b": iter([True] * 9)}, 4, {"a": 4})
    tried = run(quotas, 1)
    # The quotas are ceil(4 * 4 / 5) = 4 and 1. a is next while (1 + tries / 8) / 4 is at most 1.
    assert "".join(tried) == "a" * 25 + "b" + "a" * (99 - 25) + "bbb"
    assert quotas.kept == {"a": 0, "b": 4}

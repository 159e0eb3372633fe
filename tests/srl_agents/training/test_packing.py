"""Micro-batches: every completion once, after its own prompt, shared beginnings once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from srl_agents.training.packing import MicroBatch, micro_batches

Rows = list[tuple[list[int], list[int]]]


def seen(parts: list[MicroBatch]) -> Rows:
    """(prompt, completion) of each continuation, in the batch's order of rows."""
    found = {
        row: ([*part.prefixes[continuation.prefix][: continuation.start]], [*continuation.ids])
        for part in parts
        for row, continuation in zip(part.rows, part.continuations, strict=True)
    }
    return [found[row] for row in sorted(found)]


ids = st.lists(st.integers(0, 2), min_size=1, max_size=5)


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=12), st.integers(1, 40))
def test_every_completion_follows_its_prompt_exactly_once(rows: Rows, limit: int) -> None:
    parts = micro_batches([p for p, _ in rows], [c for _, c in rows], limit)
    assert sum(len(part.rows) for part in parts) == len(rows)
    assert seen(parts) == rows


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=12), st.integers(1, 40))
def test_no_part_exceeds_the_limit_unless_it_is_one_completion(rows: Rows, limit: int) -> None:
    for part in micro_batches([p for p, _ in rows], [c for _, c in rows], limit):
        size = sum(map(len, part.prefixes)) + sum(
            len(continuation.ids) for continuation in part.continuations
        )
        assert size <= limit or len(part.rows) == 1


def test_a_group_shares_one_prefix() -> None:
    (part,) = micro_batches([[1, 2, 3]] * 8, [[4, 5]] * 8, 100)
    assert part.prefixes == ((1, 2, 3),)
    assert {(continuation.prefix, continuation.start) for continuation in part.continuations} == {
        (0, 3)
    }


def test_the_steps_of_one_solution_share_the_longest_prompt() -> None:
    prompts = [[1, 2], [1, 2, 3, 4], [1, 2, 3], [9, 9]]
    (part,) = micro_batches(prompts, [[7], [7], [7], [7]], 100)
    assert sorted(part.prefixes) == [(1, 2, 3, 4), (9, 9)]


def test_a_group_too_large_for_one_part_repeats_its_prefix() -> None:
    parts = micro_batches([[1, 2, 3]] * 4, [[4, 5]] * 4, 7)
    assert [part.prefixes for part in parts] == [((1, 2, 3),)] * 2
    assert [len(part.rows) for part in parts] == [2, 2]


def test_the_order_depends_on_the_batch_alone() -> None:
    prompts, completions = [[1], [2, 2], [1, 3], [2]], [[5], [6], [7], [8]]
    assert micro_batches(prompts, completions, 6) == micro_batches(prompts, completions, 6)

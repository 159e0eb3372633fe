"""Ids are told apart, however many there are."""

from __future__ import annotations

from srl_env.data.ids import IdSet, repeated


def test_an_id_is_new_once() -> None:
    ids = IdSet()
    numbers = [*range(5000), 0, 4999, 1024]
    assert [ids.add(f"p{number}") for number in numbers] == [True] * 5000 + [False] * 3
    assert ids.add("\ud800")


def test_a_repeated_id_is_a_bad_row_that_says_what_to_do() -> None:
    assert str(repeated("p1")) == (
        "the id of an earlier row; 'p1'; ids are unique, and several solutions of one problem are "
        'one row with "trajectories"'
    )

import pytest

from gridfile.errors import ColumnError, GridError
from gridfile.join import join, missing_keys, stack
from gridfile.table import Table

PEOPLE = Table({"id": [1, 2, 3, None], "name": ["Ann", "Bob", "Cid", "Dee"]})
ORDERS = Table({"id": [2, 1, 2, 9, None], "item": ["ink", "pen", "cup", "map", "bag"]})


def test_an_inner_join_has_what_both_have():
    joined = join(PEOPLE, ORDERS, ["id"])
    assert joined.names == ["id", "name", "item"]
    assert joined.rows() == [(1, "Ann", "pen"), (2, "Bob", "ink"), (2, "Bob", "cup")]


def test_a_left_join_keeps_all_rows_of_the_left():
    assert join(PEOPLE, ORDERS, ["id"], "left").rows() == [
        (1, "Ann", "pen"),
        (2, "Bob", "ink"),
        (2, "Bob", "cup"),
        (3, "Cid", None),
        (None, "Dee", None),
    ]


def test_a_full_join_keeps_all_rows_of_both():
    rows = join(PEOPLE, ORDERS, ["id"], "full").rows()
    assert rows[3:] == [
        (3, "Cid", None),
        (None, "Dee", None),
        (9, None, "map"),
        (None, None, "bag"),
    ]


def test_columns_of_one_name_are_told_apart():
    left = Table({"id": [1], "n": ["a"]})
    right = Table({"id": [1], "n": ["b"]})
    assert join(left, right, ["id"]).records() == [{"id": 1, "n": "a", "n_right": "b"}]
    taken = Table({"id": [1], "n": ["a"], "n_right": ["c"]})
    with pytest.raises(ColumnError, match=r"twice: \['n_right'\]"):
        join(taken, right, ["id"])


def test_a_join_on_several_columns():
    left = Table({"a": [1, 1], "b": [1, 2], "x": ["p", "q"]})
    right = Table({"b": [2, 1], "a": [1, 5], "y": ["r", "s"]})
    assert join(left, right, ["a", "b"]).rows() == [(1, 2, "q", "r")]
    assert join(left, right, ["a", "b"], "full").rows() == [
        (1, 1, "p", None),
        (1, 2, "q", "r"),
        (5, 1, None, "s"),
    ]


def test_a_join_with_a_table_of_keys_alone():
    keys = Table({"id": [3, 1]})
    assert join(PEOPLE, keys, ["id"]).rows() == [(1, "Ann"), (3, "Cid")]


def test_joins_that_cannot_be():
    with pytest.raises(GridError, match="no join 'right'"):
        join(PEOPLE, ORDERS, ["id"], "right")
    with pytest.raises(GridError, match="needs a column"):
        join(PEOPLE, ORDERS, [])
    with pytest.raises(ColumnError):
        join(PEOPLE, ORDERS, ["name"])


def test_keys_that_the_other_table_lacks():
    assert missing_keys(PEOPLE, ORDERS, ["id"]) == [(3,)]
    assert missing_keys(ORDERS, PEOPLE, ["id"]) == [(9,)]


def test_tables_are_stacked():
    other = Table({"name": ["Eve"], "age": [40]})
    stacked = stack([PEOPLE.head(1), other])
    assert stacked.names == ["id", "name", "age"]
    assert stacked.rows() == [(1, "Ann", None), (None, "Eve", 40)]
    assert stack([]) == Table({})

import pytest

from gridfile.errors import ColumnError, GridError
from gridfile.query import (
    add_column,
    add_to,
    distinct,
    fill_down,
    filter_rows,
    running_total,
    where,
)
from gridfile.table import Table

TABLE = Table({"city": ["Ulm", "Bonn", None, "Ulm"], "n": [3, None, 1, 2]})


@pytest.mark.parametrize(
    ("comparison", "given", "kept"),
    [
        ("==", 3, [3]),
        ("!=", 3, [None, 1, 2]),
        ("<", 2, [1]),
        ("<=", 2, [1, 2]),
        (">", 2, [3]),
        (">=", 2, [3, 2]),
        ("in", [1, 3], [3, 1]),
        ("==", None, [None]),
        ("!=", None, [3, 1, 2]),
        ("<", None, []),
    ],
)
def test_rows_are_chosen_by_a_comparison(comparison, given, kept):
    assert where(TABLE, "n", comparison, given).column("n") == kept


def test_texts_may_contain_others():
    assert where(TABLE, "city", "contains", "N").column("city") == ["Bonn"]
    assert where(TABLE, "n", "contains", 3).column("n") == [3]


def test_comparisons_that_cannot_be():
    with pytest.raises(GridError, match="no comparison '~'"):
        where(TABLE, "n", "~", 3)
    with pytest.raises(GridError, match="n cannot be compared with 'x'"):
        where(TABLE, "n", "<", "x")
    with pytest.raises(ColumnError):
        where(TABLE, "x", "==", 1)


def test_rows_are_chosen_by_a_test():
    kept = filter_rows(TABLE, lambda record: record["city"] == "Ulm" and record["n"] > 2)
    assert kept.rows() == [("Ulm", 3)]


def test_a_column_is_made_of_each_record():
    made = add_column(TABLE, "double", lambda record: record["n"] and record["n"] * 2)
    assert made.names == ["city", "n", "double"]
    assert made.column("double") == [6, None, 2, 4]
    assert TABLE.names == ["city", "n"]


def test_a_column_is_replaced_in_place():
    made = add_column(TABLE, "city", lambda record: str(record["city"]).upper())
    assert made.names == ["city", "n"]
    assert made.column("city") == ["ULM", "BONN", "NONE", "ULM"]


def test_the_first_of_equal_rows_is_kept():
    assert distinct(TABLE, ["city"]).rows() == [("Ulm", 3), ("Bonn", None), (None, 1)]
    assert len(distinct(TABLE)) == 4
    assert distinct(Table({"a": [1, 1, 2, 1]})).column("a") == [1, 2]


def test_empty_values_are_filled_from_above():
    assert fill_down(TABLE, "n").column("n") == [3, 3, 1, 2]
    assert fill_down(Table({"a": [None, 1, None, 0, None]}), "a").column("a") == [None, 1, 1, 0, 0]


def test_values_are_set_as_a_column():
    assert add_to(TABLE, "k", [1, 2, 3, 4]).column("k") == [1, 2, 3, 4]
    assert add_to(Table({}), "k", [1, 2]).rows() == [(1,), (2,)]
    with pytest.raises(ColumnError, match="3 values for 4 rows"):
        add_to(TABLE, "k", [1, 2, 3])


def test_running_totals():
    assert running_total(TABLE, "n") == [3, 3, 4, 6]
    with pytest.raises(GridError, match="'Ulm', which is no number"):
        running_total(TABLE, "city")
    with pytest.raises(GridError):
        running_total(Table({"a": [True]}), "a")

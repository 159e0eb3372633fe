import pytest

from gridfile.aggregate import count_by, group, group_indices, pivot, share_of_total
from gridfile.errors import ColumnError, GridError
from gridfile.table import Table

SALES = Table(
    {
        "city": ["Ulm", "Bonn", "Ulm", "Bonn", "Ulm"],
        "month": [1, 1, 2, 2, 2],
        "amount": [10, 20, None, 40, 5],
    }
)


@pytest.mark.parametrize(
    ("figure", "ulm", "bonn"),
    [
        ("sum", 15, 60),
        ("mean", 7.5, 30),
        ("median", 7.5, 30),
        ("min", 5, 20),
        ("max", 10, 40),
        ("count", 2, 2),
        ("first", 10, 20),
        ("unique", 2, 2),
    ],
)
def test_figures_of_groups(figure, ulm, bonn):
    assert group(SALES, ["city"], {"amount": figure}).rows() == [("Ulm", ulm), ("Bonn", bonn)]


def test_groups_by_several_columns_with_several_figures():
    found = group(SALES, ["month", "city"], {"amount": "sum"})
    assert found.names == ["month", "city", "amount"]
    assert found.rows() == [(1, "Ulm", 10), (1, "Bonn", 20), (2, "Ulm", 5), (2, "Bonn", 40)]


def test_one_group_of_all_rows():
    assert group(SALES, [], {"amount": "sum", "city": "unique"}).rows() == [(75, 2)]


def test_figures_of_nothing():
    table = Table({"k": ["a"], "v": [None]})
    figures = ("sum", "mean", "median", "min", "max", "count", "first", "unique")
    made = [group(table, ["k"], {"v": figure}).rows()[0][1] for figure in figures]
    assert made == [0, None, None, None, None, 0, None, 0]


def test_unknown_figures_and_columns():
    with pytest.raises(GridError, match="no figure 'total'"):
        group(SALES, ["city"], {"amount": "total"})
    with pytest.raises(ColumnError):
        group(SALES, ["x"], {"amount": "sum"})
    with pytest.raises(ColumnError):
        group(SALES, ["city"], {"x": "sum"})
    with pytest.raises(GridError, match="no number"):
        group(SALES, ["month"], {"city": "sum"})


def test_rows_of_each_key():
    assert group_indices(SALES, ["city"]) == {("Ulm",): [0, 2, 4], ("Bonn",): [1, 3]}
    assert group_indices(Table({"a": []}), ["a"]) == {}


def test_values_are_counted_the_most_frequent_first():
    assert count_by(SALES, "city") == [("Ulm", 3), ("Bonn", 2)]
    assert count_by(SALES, "month") == [(2, 3), (1, 2)]
    assert count_by(Table({"a": ["x", None, "y"]}), "a") == [("x", 1), ("y", 1)]


def test_a_pivot_has_a_column_for_each_value():
    found = pivot(SALES, "city", "month", "amount")
    assert found.names == ["city", "1", "2"]
    assert found.rows() == [("Ulm", 10, 5), ("Bonn", 20, 40)]
    assert pivot(SALES, "city", "month", "amount", "count").rows()[0] == ("Ulm", 1, 1)


def test_cells_without_rows_are_empty_in_a_pivot():
    table = Table({"a": ["x", "y"], "b": ["q", "p"], "v": [1, 2]})
    assert pivot(table, "a", "b", "v").rows() == [("x", None, 1), ("y", 2, None)]


def test_shares_of_the_total():
    assert share_of_total(SALES, "amount") == [0.1333, 0.2667, None, 0.5333, 0.0667]
    assert share_of_total(Table({"a": [1, -1]}), "a") == [None, None]

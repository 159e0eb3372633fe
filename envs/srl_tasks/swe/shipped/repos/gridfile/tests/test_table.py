import pytest

from gridfile.errors import CellError, ColumnError, CsvError
from gridfile.table import Table, read_table


def make_table():
    return Table({"city": ["Ulm", "Bonn", "Aue"], "size": [3, None, 1], "old": [True, False, True]})


def test_columns_and_rows():
    table = make_table()
    assert table.names == ["city", "size", "old"]
    assert len(table) == 3
    assert table.column("size") == [3, None, 1]
    assert table.rows()[1] == ("Bonn", None, False)
    assert table.records()[0] == {"city": "Ulm", "size": 3, "old": True}


def test_columns_have_equal_lengths():
    with pytest.raises(ColumnError, match=r"different lengths: \[1, 2\]"):
        Table({"a": [1, 2], "b": [1]})
    assert len(Table({})) == 0
    assert Table({}).rows() == []


def test_a_table_does_not_change():
    table = make_table()
    table.column("city").append("Hof")
    assert len(table.column("city")) == 3


def test_a_table_of_rows():
    assert Table.from_rows(["a", "b"], [(1, 2), (3, 4)]) == Table({"a": [1, 3], "b": [2, 4]})
    assert Table.from_rows(["a"], []).names == ["a"]
    with pytest.raises(ColumnError, match="1 cells for 2 columns"):
        Table.from_rows(["a", "b"], [(1,)])
    with pytest.raises(ColumnError, match="a name twice"):
        Table.from_rows(["a", "a"], [])


def test_tables_are_equal_with_equal_columns_in_order():
    assert Table({"a": [1], "b": [2]}) != Table({"b": [2], "a": [1]})
    assert Table({"a": [1]}) != Table({"a": [2]})
    assert Table({"a": [1]}) != {"a": [1]}


def test_unknown_columns_are_named_with_a_hint():
    table = make_table()
    with pytest.raises(ColumnError, match="no column 'City'; is 'city' meant"):
        table.column("City")
    with pytest.raises(ColumnError, match="there are city, size, old"):
        table.column("x")


def test_columns_are_selected_in_the_order_given():
    table = make_table()
    assert table.select(["old", "city"]).names == ["old", "city"]
    assert table.drop(["size"]).names == ["city", "old"]
    with pytest.raises(ColumnError):
        table.drop(["x"])
    with pytest.raises(ColumnError):
        table.select(["x"])


def test_columns_are_renamed():
    table = make_table()
    renamed = table.rename({"city": "town"})
    assert renamed.names == ["town", "size", "old"]
    assert renamed.column("town") == ["Ulm", "Bonn", "Aue"]
    with pytest.raises(ColumnError, match="twice"):
        table.rename({"city": "size"})
    with pytest.raises(ColumnError, match="'x'"):
        table.rename({"x": "y"})


def test_rows_are_taken():
    table = make_table()
    assert table.take([2, 0, 2]).column("city") == ["Aue", "Ulm", "Aue"]
    assert table.head(2).column("city") == ["Ulm", "Bonn"]
    assert table.head(-1).column("city") == ["Ulm", "Bonn"]
    assert len(table.head()) == 3


def test_rows_are_sorted_with_empty_values_last():
    table = make_table()
    assert table.sort(["size"]).column("city") == ["Aue", "Ulm", "Bonn"]
    assert table.sort(["size"], descending=True).column("city") == ["Ulm", "Aue", "Bonn"]


def test_several_columns_decide_in_order():
    table = Table({"a": [2, 1, 2, 1], "b": [1, 2, 0, 1]})
    assert table.sort(["a", "b"]).rows() == [(1, 1), (1, 2), (2, 0), (2, 1)]
    assert table.sort(["b"]).rows() == [(2, 0), (2, 1), (1, 1), (1, 2)]
    assert table.sort(["a"], descending=True).rows() == [(2, 1), (2, 0), (1, 2), (1, 1)]


def test_a_table_is_read():
    table = read_table("name; n; part\nx; 1; 5%\ny; ; \n")
    assert list(table.items()) == [("name", ["x", "y"]), ("n", [1, None]), ("part", [0.05, None])]


def test_short_rows_are_filled_and_long_ones_refused():
    assert read_table("a,b\n1\n").rows() == [(1, None)]
    with pytest.raises(CsvError, match="line 3: 3 cells for 2 columns"):
        read_table("a,b\n1,2\n1,2,3", ",")


def test_kinds_may_be_given():
    assert read_table("a,b\n1,2", kinds={"a": "text"}).rows() == [("1", 2)]
    with pytest.raises(ColumnError, match="'x'"):
        read_table("a,b\n1,2", kinds={"x": "text"})
    with pytest.raises(CellError):
        read_table("a,b\nx,2", kinds={"a": "integer"})


def test_a_text_without_rows_is_no_table():
    with pytest.raises(CsvError, match="no header"):
        read_table("\n")
    assert read_table("a,b").rows() == []

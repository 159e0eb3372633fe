from datetime import date

import pytest

from gridfile.table import Table, read_table
from gridfile.writer import cell_text, is_numeric, to_csv, to_text


def test_a_table_as_csv():
    table = Table({"a": [1, None], "b": ["x", "y"]})
    assert to_csv(table) == "a,b\n1,x\n,y\n"
    assert to_csv(table, ";") == "a;b\n1;x\n;y\n"


def test_cells_are_quoted_where_they_must_be():
    table = Table({"a": ["x,y", 'say "hi"', "two\nlines", " z", "plain;"]})
    assert to_csv(table) == 'a\n"x,y"\n"say ""hi"""\n"two\nlines"\n" z"\nplain;\n'
    assert to_csv(Table({"a,b": []})) == '"a,b"\n'


def test_what_is_written_is_read_again():
    table = Table({"n": [1, None, 3], "t": ["a,b", "c", None], "d": [date(2024, 5, 31)] * 3})
    assert read_table(to_csv(table)) == table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (date(2024, 5, 1), "2024-05-01"),
        (2.0, "2"),
        (0.1 + 0.2, "0.3"),
        (12, "12"),
        ("x", "x"),
    ],
)
def test_values_as_text(value, text):
    assert cell_text(value) == text


def test_a_table_for_people():
    table = Table({"city": ["Ulm", "Bonn"], "n": [5, None], "x": [1.5, 10.0]})
    assert to_text(table) == "city  n    x\nUlm   5  1.5\nBonn      10"


def test_long_cells_and_tables_are_cut():
    table = Table({"t": ["abcdefgh", "two\nlines", "abcde"], "n": [1, 2, 3]})
    assert to_text(table, widest=5) == "t      n\nabcd…  1\ntwo …  2\nabcde  3"
    assert to_text(table.select(["n"]), most_rows=2) == "n\n1\n2\n(1 more)"
    assert to_text(table.select(["n"]), most_rows=3) == "n\n1\n2\n3"


def test_columns_of_numbers():
    assert is_numeric([1, None, 2.5])
    assert not is_numeric([1, "2"])
    assert not is_numeric([True])
    assert not is_numeric([None])
    assert not is_numeric([])

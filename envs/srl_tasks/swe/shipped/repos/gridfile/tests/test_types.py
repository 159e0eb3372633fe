from datetime import date

import pytest

from gridfile.errors import CellError
from gridfile.types import (
    column_kind,
    convert,
    is_empty,
    read_date,
    read_integer,
    read_number,
    read_truth,
)


def test_empty_cells():
    assert all(is_empty(cell) for cell in ("", "  ", "NA", "n/a", "Null", "-"))
    assert not any(is_empty(cell) for cell in ("0", "no", "--", "nan"))


@pytest.mark.parametrize(
    ("cell", "value"),
    [("12", 12), ("-3", -3), ("+4", 4), ("0", 0), ("1,234,567", 1234567), (" 7 ", 7)],
)
def test_whole_numbers(cell, value):
    assert read_integer(cell) == value


@pytest.mark.parametrize("cell", ["1.0", "007", "1,23", "12,3456", "", "x", "1e3", "- 1"])
def test_what_is_no_whole_number(cell):
    with pytest.raises(CellError, match="not a whole number"):
        read_integer(cell)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.5", 1.5),
        (".5", 0.5),
        ("-0.25", -0.25),
        ("2", 2.0),
        ("1e3", 1000.0),
        ("1,234.5", 1234.5),
        ("12%", 0.12),
        ("50 %", 0.5),
        ("3.", 3.0),
    ],
)
def test_numbers(cell, value):
    assert read_number(cell) == value


@pytest.mark.parametrize("cell", ["", "1.2.3", "0815", "-01.5", "e5", "%", "1,2.5", "abc"])
def test_what_is_no_number(cell):
    with pytest.raises(CellError, match="not a number"):
        read_number(cell)


def test_truth_values():
    assert [read_truth(cell) for cell in ("true", "YES", " False ", "no")] == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(CellError, match="neither"):
        read_truth("1")


def test_dates():
    assert read_date("2024-05-31") == date(2024, 5, 31)
    assert read_date("1.2.2024") == date(2024, 2, 1)
    assert read_date(" 31.05.2024 ") == date(2024, 5, 31)


def test_what_is_no_date():
    with pytest.raises(CellError, match="not a date"):
        read_date("2024-5-31")
    with pytest.raises(CellError, match="no such day"):
        read_date("2024-02-30")


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "", "20"], "integer"),
        (["1", "2.5"], "number"),
        (["10%", "5"], "number"),
        (["yes", "no", "-"], "truth"),
        (["2024-01-01", "1.2.2024"], "date"),
        (["1", "x"], "text"),
        (["007"], "text"),
        (["yes", "1"], "text"),
        (["", "na"], "text"),
        ([], "text"),
    ],
)
def test_the_first_kind_that_fits_all_cells(cells, kind):
    assert column_kind(cells) == kind


def test_cells_are_converted():
    assert convert(["1", "", "3"]) == [1, None, 3]
    assert convert(["1", "n/a", "3"], "number") == [1.0, None, 3.0]
    assert convert([" a ", "-"]) == [" a ", None]
    assert convert(["1"], "text") == ["1"]


def test_a_cell_must_be_of_the_kind_asked_for():
    with pytest.raises(CellError, match="not a whole number: 'x'"):
        convert(["1", "x"], "integer")
    with pytest.raises(CellError, match="no kind 'money'"):
        convert(["1"], "money")

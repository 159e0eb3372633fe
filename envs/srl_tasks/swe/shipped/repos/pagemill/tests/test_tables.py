import pytest

from pagemill.tables import (
    Table,
    alignment,
    is_divider,
    read_table,
    split_row,
    table_html,
    table_text,
)

FRUIT = Table(("fruit", "n"), ("", "right"), (("apple", "7"), ("fig", "120")))


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("a | b", ["a", "b"]),
        ("| a | b |", ["a", "b"]),
        ("|a||b|", ["a", "", "b"]),
        ("| | b |", ["", "b"]),
        ("a \\| b | c", ["a | b", "c"]),
        ("a", ["a"]),
        ("|", []),
    ],
)
def test_a_row_is_split_at_its_bars(line, cells):
    assert split_row(line) == cells


@pytest.mark.parametrize("line", ["--- | ---", "|:--|--:|", "|---|", "|:-:|", "--- | "])
def test_dividers(line):
    assert is_divider(line)


@pytest.mark.parametrize("line", ["---", "a | b", "--- | b", "|", "- | -"])
def test_other_lines_are_no_dividers(line):
    assert not is_divider(line)


def test_a_divider_aligns_its_column():
    assert [alignment(cell) for cell in (":--", "--:", ":-:", "---")] == [
        "left",
        "right",
        "center",
        "",
    ]


def test_a_table_is_read_up_to_a_line_without_bars():
    lines = ["x", "a | b", ":-- | --:", "1 | 2", "3 | 4", "end"]
    table, end = read_table(lines, 1)
    assert table == Table(("a", "b"), ("left", "right"), (("1", "2"), ("3", "4")))
    assert end == 5


def test_rows_are_cut_or_filled_up():
    table, end = read_table(["a | b", "---|", "1 |", "1 | 2 | 3"], 0)
    assert table.rows == (("1", ""), ("1", "2"))
    assert table.aligned == ("", "")
    assert end == 4


def test_a_table_as_html():
    assert table_html(FRUIT) == "\n".join(
        [
            "<table>",
            "<thead>",
            '<tr><th>fruit</th><th align="right">n</th></tr>',
            "</thead>",
            "<tbody>",
            '<tr><td>apple</td><td align="right">7</td></tr>',
            '<tr><td>fig</td><td align="right">120</td></tr>',
            "</tbody>",
            "</table>",
        ]
    )


def test_cells_are_rendered_and_a_table_may_lack_rows():
    html = table_html(Table(("*a*",), ("",), ()))
    assert html == "<table>\n<thead>\n<tr><th><em>a</em></th></tr>\n</thead>\n</table>"


def test_a_table_as_text():
    assert table_text(FRUIT) == "fruit |   n\n------+----\napple |   7\nfig   | 120"


def test_a_centered_column_as_text():
    table = Table(("wide", "x"), ("center", "left"), (("ab", ""),))
    assert table_text(table) == "wide | x\n-----+--\n ab  |"

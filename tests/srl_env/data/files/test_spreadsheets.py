"""Tables that people keep, read cell by cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from srl_env.data.files.streams import RowStream
from srl_env.data.rows import BadRow
from srl_env.errors import BadData


def rows(path: Path) -> list[tuple[str, Any]]:
    stream = RowStream([path])
    return [(stream.place(found.file, found.number), found.row) for found in stream]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "q,n\nx,1\n\ny,2\n"),
        ("a.csv", "\ufeffq;n\r\nx;1\r\n;\r\ny;2\r\n"),
        ("a.tsv", "q\tn\t\nx\t1\n\ny\t2"),
        ("a.csv", "q|n\nx|1\n\ny|2\n"),
    ],
)
def test_the_delimiter_is_found_out_and_empty_rows_are_passed_over(
    name: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text, newline="")
    assert [row for _, row in rows(path)] == [{"q": "x", "n": "1"}, {"q": "y", "n": "2"}]


def test_cells_with_line_ends_count_lines_as_an_editor_does(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('q,s\na,"1\n2\n3"\nb,4\n')
    assert rows(path) == [
        (f"{path}:2", {"q": "a", "s": "1\n2\n3"}),
        (f"{path}:5", {"q": "b", "s": "4"}),
    ]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('"[""a"", ""b""]"', ["a", "b"]),
        ("\"['a', 'b']\"", ["a", "b"]),
        ('"{""a"": 1}"', {"a": 1}),
        ("[1/2", "[1/2"),
        ("{2}", "{2}"),
        ('"[2, 3]"', [2, 3]),
        (" 7", " 7"),
    ],
)
def test_a_cell_may_hold_a_list_or_an_object(cell: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"q,n\n{cell},1\n")
    assert rows(path)[0][1] == {"q": value, "n": "1"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"q,q\n1,2\n", "a.csv: the first row must have a name for each column; got twice q"),
        (b"q,,n\n1,2,3\n", "a.csv: the first row must have a name"),
        (b"", "a.csv: the first row must have a name"),
        ("q\nä".encode("latin-1"), "a.csv: not UTF-8 .* Fix: save the table as CSV UTF-8"),
        (b'q,n\n"a,1\n', "a.csv:2: not a CSV table; unexpected end of data"),
    ],
)
def test_a_broken_table_says_what_is_wrong(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(BadData, match=message):
        rows(path)


def test_a_row_with_more_cells_than_columns_is_bad_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("q,n\na,1,2\nb,3\n")
    (place, bad), (_, good) = rows(path)
    assert (place, str(bad)) == (
        f"{path}:2",
        "more cells than columns; got 3 for 2. Fix: quote cells that contain the delimiter",
    )
    assert isinstance(bad, BadRow)
    assert good == {"q": "b", "n": "3"}


def test_excel_sheets_are_read_with_their_row_numbers(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path, book = tmp_path / "a.xlsx", openpyxl.Workbook()
    for cells in (["q", "n"], ["x", 3.0], [None, None], ["y", 0.5]):
        book.active.append(cells)
    book.save(path)
    assert rows(path) == [
        (f"{path}, row 2", {"q": "x", "n": "3"}),
        (f"{path}, row 4", {"q": "y", "n": "0.5"}),
    ]
    path.write_bytes(b"PK\x03\x04no archive")
    with pytest.raises(BadData, match="a.xlsx: not an XLSX file that can be read"):
        rows(path)

"""Reads CSV text into cells."""

from __future__ import annotations

from gridfile.errors import CsvError

DELIMITERS = (",", ";", "\t", "|")


def read_rows(text: str, delimiter: str | None = None) -> list[list[str]]:
    """The cells of a CSV text, row by row; empty lines are left out.

    Cells in double quotes may hold delimiters, line ends and doubled quotes. Spaces around a cell
    that is not quoted do not count. The delimiter is guessed where none is given.
    Raises CsvError for a quote that is not closed, and for text after a closing one.
    """
    delimiter = sniff_delimiter(text) if delimiter is None else delimiter
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    rows: list[list[str]] = []
    row: list[str] = []
    position, line = 0, 1
    while position <= len(text):
        cell, quoted, end = _read_cell(text, position, delimiter, line)
        row.append(cell)
        line += text.count("\n", position, end)
        if end < len(text) and text[end] == delimiter:
            position = end + 1
            continue
        if len(row) > 1 or row[0] or quoted:
            rows.append(row)
        row = []
        line += 1
        position = end + 1
    return rows


def sniff_delimiter(text: str) -> str:
    """The delimiter that the first lines have equally often, and most; a comma where none is."""
    lines = [line for line in text.splitlines()[:10] if line.strip()]
    best, most = ",", 0
    for delimiter in DELIMITERS:
        counts = {_count_outside_quotes(line, delimiter) for line in lines}
        if len(counts) == 1 and (count := counts.pop()) > most:
            best, most = delimiter, count
    return best


def unique_header(cells: list[str]) -> list[str]:
    """Names for columns: empty ones are ``column_3``, repeated ones get ``_2``, ``_3``, …"""
    names: list[str] = []
    for number, cell in enumerate(cells, start=1):
        base = cell.strip() or f"column_{number}"
        name, copies = base, 1
        while name in names:
            copies += 1
            name = f"{base}_{copies}"
        names.append(name)
    return names


def _count_outside_quotes(line: str, delimiter: str) -> int:
    count, inside = 0, False
    for char in line:
        if char == '"':
            inside = not inside
        elif char == delimiter and not inside:
            count += 1
    return count


def _read_cell(text: str, start: int, delimiter: str, line: int) -> tuple[str, bool, int]:
    """(cell, whether it was quoted, where the delimiter, line end or end of text after it is)."""
    begin = start
    while begin < len(text) and text[begin] == " ":
        begin += 1
    if begin < len(text) and text[begin] == '"':
        return _read_quoted(text, begin, delimiter, line)
    end = start
    while end < len(text) and text[end] not in (delimiter, "\n"):
        end += 1
    return text[start:end].strip(), False, end


def _read_quoted(text: str, begin: int, delimiter: str, line: int) -> tuple[str, bool, int]:
    parts: list[str] = []
    position = begin + 1
    while True:
        close = text.find('"', position)
        if close < 0:
            raise CsvError("a quote that is not closed", line)
        parts.append(text[position:close])
        if text[close + 1 : close + 2] != '"':
            break
        parts.append('"')
        position = close + 2
    end = close + 1
    while end < len(text) and text[end] == " ":
        end += 1
    if end < len(text) and text[end] not in (delimiter, "\n"):
        raise CsvError("text after a closing quote", line + text.count("\n", begin, end))
    return "".join(parts), True, end

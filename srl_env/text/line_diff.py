"""What changed between two texts, line by line, in bounded time whatever the texts."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Sequence
from typing import Final, Literal

Sign = Literal[" ", "-", "+"]
Row = tuple[Sign, str]
"""A line that stayed, was removed, or was added."""

MOST_COMPARED: Final = 300
_CONTEXT: Final = 3


def split_lines(text: str) -> list[str]:
    """The lines, each with its newline but perhaps the last; only a newline ends a line."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop().removesuffix("\n")
    return [*lines, last] if last else lines


def line_changes(before: Sequence[str], after: Sequence[str]) -> list[Row]:
    """The lines of both, in order, with the sign of each.

    Common lines at both ends are found first. What remains is compared if it has at most
    MOST_COMPARED lines on each side; comparing takes cubic time at worst. Otherwise all of it is
    removed and added.
    """
    head = _common(before, after)
    tail = min(_common(before[::-1], after[::-1]), len(before) - head, len(after) - head)
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    rows = [*_signed(" ", before[:head]), *_compared(old, new)]
    return [*rows, *_signed(" ", before[len(before) - tail :])]


def hunks(rows: Sequence[Row]) -> Iterator[str]:
    """The hunks of a unified diff: changed lines with three lines around them."""
    changed = [place for place, (sign, _) in enumerate(rows) if sign != " "]
    spans: list[list[int]] = []
    for place in changed:
        begin, end = max(0, place - _CONTEXT), min(len(rows), place + _CONTEXT + 1)
        if spans and begin <= spans[-1][1]:
            spans[-1][1] = end
        else:
            spans.append([begin, end])
    done, old, new = 0, 0, 0  # rows so far, and how many of them are on each side
    for begin, end in spans:
        skipped, part = begin - done, rows[begin:end]
        counts = [sum(sign != absent for sign, _ in part) for absent in "+-"]
        ranges = [_range(skipped + at, n) for at, n in zip((old, new), counts, strict=True)]
        yield f"@@ -{ranges[0]} +{ranges[1]} @@\n" + "".join(_written(*row) for row in part)
        done, old, new = end, old + skipped + counts[0], new + skipped + counts[1]


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    return sum(1 for _ in pairs)


def _compared(old: Sequence[str], new: Sequence[str]) -> list[Row]:
    if max(len(old), len(new)) > MOST_COMPARED:
        return [*_signed("-", old), *_signed("+", new)]
    rows: list[Row] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, i, j, k, n in matcher.get_opcodes():
        if kind == "equal":
            rows += _signed(" ", old[i:j])
        else:
            rows += [*_signed("-", old[i:j]), *_signed("+", new[k:n])]
    return rows


def _signed(sign: Sign, lines: Sequence[str]) -> list[Row]:
    return [(sign, line) for line in lines]


def _range(before: int, count: int) -> str:
    """The lines of one side, "first,count"; the line before them if there are none."""
    return f"{before + 1 if count else before},{count}"


def _written(sign: Sign, line: str) -> str:
    end = "" if line.endswith("\n") else "\n\\ No newline at end of file\n"
    return f"{sign}{line}{end}"

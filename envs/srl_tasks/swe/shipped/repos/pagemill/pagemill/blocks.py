"""Reads a page of markup as blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pagemill.tables import Table, is_divider, read_table

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*")
_BULLET = re.compile(r"( *)[-*]\s+(.*)")
_NUMBERED = re.compile(r"( *)\d{1,3}[.)]\s+(.*)")
_RULE = re.compile(r"(-{3,}|\*{3,})")


@dataclass(frozen=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Code:
    """language: the word after the opening mark, or nothing."""

    text: str
    language: str = ""


@dataclass(frozen=True)
class Rule:
    pass


@dataclass(frozen=True)
class Quote:
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Item:
    """One item of a list, with the list inside it if there is one."""

    text: str
    inner: ItemList | None = None


@dataclass(frozen=True)
class ItemList:
    ordered: bool
    items: tuple[Item, ...] = field(default=())


Block = Heading | Paragraph | Code | Rule | Quote | ItemList | Table


def read_blocks(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    lines = [line.rstrip().expandtabs(4) for line in text.splitlines()]
    blocks: list[Block] = []
    position = 0
    while position < len(lines):
        if not lines[position]:
            position += 1
            continue
        block, position = _read_block(lines, position)
        blocks.append(block)
    return blocks


def _read_block(lines: Sequence[str], start: int) -> tuple[Block, int]:
    line = lines[start]
    if line.startswith("```"):
        return _read_code(lines, start)
    heading = _HEADING.fullmatch(line)
    if heading is not None:
        return Heading(len(heading[1]), heading[2]), start + 1
    if _RULE.fullmatch(line):
        return Rule(), start + 1
    if line.startswith(">"):
        return _read_quote(lines, start)
    if _list_item(line) is not None:
        return _read_list(lines, start)
    if "|" in line and start + 1 < len(lines) and is_divider(lines[start + 1]):
        return read_table(lines, start)
    return _read_paragraph(lines, start)


def _read_code(lines: Sequence[str], start: int) -> tuple[Block, int]:
    """Code up to the closing mark, or to the end of the page."""
    end = start + 1
    while end < len(lines) and lines[end] != "```":
        end += 1
    language = lines[start].removeprefix("```").strip()
    return Code("\n".join(lines[start + 1 : end]), language), min(end + 1, len(lines))


def _read_quote(lines: Sequence[str], start: int) -> tuple[Block, int]:
    end = start
    while end < len(lines) and lines[end].startswith(">"):
        end += 1
    inner = [line[1:].removeprefix(" ") for line in lines[start:end]]
    return Quote(tuple(read_blocks("\n".join(inner)))), end


def _list_item(line: str) -> tuple[int, bool, str] | None:
    """(indent, ordered, text) of a line that is an item."""
    for pattern, ordered in ((_BULLET, False), (_NUMBERED, True)):
        match = pattern.fullmatch(line)
        if match is not None:
            return len(match[1]), ordered, match[2]
    return None


def _read_list(lines: Sequence[str], start: int) -> tuple[ItemList, int]:
    """A list: items of one indent; deeper ones belong to the item above them."""
    first = _list_item(lines[start])
    assert first is not None
    indent, ordered, _ = first
    items: list[Item] = []
    position = start
    while position < len(lines):
        found = _list_item(lines[position])
        if found is None or found[0] < indent:
            break
        if found[0] >= indent + 2 and items:
            inner, position = _read_list(lines, position)
            items[-1] = Item(items[-1].text, inner)
            continue
        if found[1] != ordered:
            break
        items.append(Item(found[2]))
        position += 1
    return ItemList(ordered, tuple(items)), position


def _read_paragraph(lines: Sequence[str], start: int) -> tuple[Block, int]:
    end = start + 1
    while end < len(lines) and lines[end] and not _interrupts(lines[end]):
        end += 1
    return Paragraph("\n".join(line.strip() for line in lines[start:end])), end


def _interrupts(line: str) -> bool:
    """Whether a line begins another block in the middle of a paragraph."""
    if line.startswith(("```", ">")) or _RULE.fullmatch(line):
        return True
    return _HEADING.fullmatch(line) is not None or _list_item(line) is not None

"""Writes blocks as HTML."""

from __future__ import annotations

from collections.abc import Iterable

from pagemill.blocks import (
    Block,
    Code,
    Heading,
    ItemList,
    Paragraph,
    Quote,
    Rule,
    read_blocks,
)
from pagemill.escape import element, escape
from pagemill.inline import plain_text, render_inline
from pagemill.outline import Slugs
from pagemill.tables import Table, table_html


def render(text: str) -> str:
    """The HTML of a page of markup, a line or more for each block."""
    return _render_all(read_blocks(text), Slugs())


def excerpt(text: str, length: int = 80) -> str:
    """The first paragraph of a page without marks, cut between words to a length."""
    for block in read_blocks(text):
        if isinstance(block, Paragraph):
            return _shorten(" ".join(plain_text(block.text).split()), length)
    return ""


def reading_minutes(text: str, words_per_minute: int = 200) -> int:
    """How long a page takes to read, code left out; at least one minute where there are words."""
    words = 0
    for block in read_blocks(text):
        if not isinstance(block, Code | Rule):
            words += len(_words_of(block))
    return -(-words // words_per_minute)


def _render_all(blocks: Iterable[Block], slugs: Slugs) -> str:
    return "\n".join(_render_block(block, slugs) for block in blocks)


def _render_block(block: Block, slugs: Slugs) -> str:
    match block:
        case Heading(level, text):
            return element(f"h{level}", render_inline(text), id=slugs.take(plain_text(text)))
        case Paragraph(text):
            return element("p", render_inline(text))
        case Code(text, language):
            marked = f"language-{language}" if language else None
            return element("pre", element("code", escape(text), **{"class": marked}))
        case Quote(blocks):
            return element("blockquote", "\n" + _render_all(blocks, slugs) + "\n")
        case ItemList():
            return _render_list(block)
        case Table():
            return table_html(block)
        case Rule():
            return "<hr>"


def _render_list(block: ItemList) -> str:
    lines = []
    for item in block.items:
        inner = "" if item.inner is None else "\n" + _render_list(item.inner) + "\n"
        lines.append(element("li", render_inline(item.text) + inner))
    return element("ol" if block.ordered else "ul", "\n" + "\n".join(lines) + "\n")


def _words_of(block: Block) -> list[str]:
    match block:
        case Heading(_, text) | Paragraph(text):
            return plain_text(text).split()
        case Quote(blocks):
            return [word for inner in blocks for word in _words_of(inner)]
        case ItemList(_, items):
            texts = [word for item in items for word in plain_text(item.text).split()]
            inner = [item.inner for item in items if item.inner is not None]
            return texts + [word for items in inner for word in _words_of(items)]
        case Table(header, _, rows):
            return [word for row in (header, *rows) for cell in row for word in cell.split()]
        case _:
            return []


def _shorten(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    cut = text[: length + 1].rfind(" ")
    return text[: cut if cut > 0 else length].rstrip(" ,.;:") + "…"

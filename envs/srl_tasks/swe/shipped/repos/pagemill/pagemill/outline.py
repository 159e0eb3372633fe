"""The headings of a page: their ids, their order, a table of contents."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from pagemill.blocks import Heading, read_blocks
from pagemill.escape import escape
from pagemill.inline import plain_text


@dataclass(frozen=True)
class Entry:
    """A heading; number: its place such as "2.1"."""

    level: int
    text: str
    slug: str
    number: str


def slugify(text: str) -> str:
    """A text as an id: small letters and digits with hyphens between words; accents go.

    ``section`` where nothing is left.
    """
    plain = unicodedata.normalize("NFKD", text)
    kept = "".join(char for char in plain if not unicodedata.combining(char)).lower()
    words = "".join(char if char.isalnum() else " " for char in kept).split()
    return "-".join(words) or "section"


class Slugs:
    """Gives ids, each only once: the second ``notes`` is ``notes-2``."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, text: str) -> str:
        """A new id for a text."""
        base = slugify(text)
        slug, number = base, 1
        while slug in self._taken:
            number += 1
            slug = f"{base}-{number}"
        self._taken.add(slug)
        return slug


def outline(text: str) -> list[Entry]:
    """The headings of a page in order, numbered by level."""
    headings = [block for block in read_blocks(text) if isinstance(block, Heading)]
    slugs = Slugs()
    entries = []
    for heading, number in zip(headings, _numbers(headings), strict=True):
        plain = plain_text(heading.text)
        entries.append(Entry(heading.level, plain, slugs.take(plain), number))
    return entries


def table_of_contents(text: str, deepest: int = 3) -> str:
    """The headings down to a level as nested HTML lists; nothing where there are none."""
    parts: list[str] = []
    open_levels: list[int] = []
    for entry in outline(text):
        if entry.level > deepest:
            continue
        while open_levels and entry.level < open_levels[-1]:
            parts.append("</li></ul>")
            open_levels.pop()
        if open_levels and entry.level == open_levels[-1]:
            parts.append("</li>")
        else:
            parts.append("<ul>")
            open_levels.append(entry.level)
        parts.append(f'<li><a href="#{entry.slug}">{escape(entry.text)}</a>')
    parts += ["</li></ul>"] * len(open_levels)
    return "".join(parts)


def _numbers(headings: Iterable[Heading]) -> list[str]:
    """The number of each heading; the highest level that occurs counts as the first."""
    levels = [heading.level for heading in headings]
    top = min(levels, default=1)
    counts: list[int] = []
    numbers = []
    for level in levels:
        place = level - top + 1
        counts = (counts + [0] * place)[:place]
        counts[-1] += 1
        numbers.append(".".join(map(str, counts)))
    return numbers

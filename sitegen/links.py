"""Links between pages, figures and files of the repository. Pure functions of Markdown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_LINK = re.compile(r"(?<!\!)(\[[^\]\n]*\]\()(?!https?:|mailto:|#)([^)#\s]+)((?:#[^)\s]*)?\))")
_FIGURE = re.compile(r"^!\[([^\]\n]*)\]\(([^)\s]+\.svg)\)$", re.MULTILINE)


def files_linked(docs: Path) -> list[Path]:
    """The files outside of ``docs`` that its pages link to, each once, sorted."""
    found = {
        (page.parent / target).resolve()
        for page in docs.rglob("*.md")
        for target in targets(page.read_text(encoding="utf-8"))
    }
    outside = (path for path in found if not path.is_relative_to(docs.resolve()))
    return sorted(path for path in outside if path.is_file())


def targets(markdown: str) -> Iterator[str]:
    """The targets of a page's links as written, without anchors (``#``)."""
    return (found[2] for found in _LINK.finditer(markdown))


def with_source_pages(markdown: str, folder: Path, root: Path) -> str:
    """The page; its links to files outside of ``docs`` lead to their pages, ``source/PATH.md``.

    folder: the page's folder. root: the repository, which holds ``docs``.
    """
    docs = root / "docs"

    def lead(found: re.Match[str]) -> str:
        path = (folder / found[2]).resolve()
        if path.is_relative_to(docs) or not path.is_file():
            return found[0]
        page = docs / "source" / f"{path.relative_to(root)}.md"
        return f"{found[1]}{Path(os.path.relpath(page, folder)).as_posix()}{found[3]}"

    return _LINK.sub(lead, markdown)


def inlined_figures(markdown: str, folder: Path) -> str:
    """The page with each drawing (SVG) that stands on its own line inlined.

    An inline drawing has the page's colours, dark or light.
    """

    def inline(found: re.Match[str]) -> str:
        svg = (folder / found[2]).read_text(encoding="utf-8")
        # One line in a block of HTML: Markdown leaves it alone.
        return f"<div>{' '.join(svg.split())}</div>"

    return _FIGURE.sub(inline, markdown)

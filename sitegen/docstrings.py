"""Docstrings as Markdown. They nearly are: what differs is the ``::`` before an indented block,
and tags of completions, which Markdown would take for HTML.
"""

from __future__ import annotations

import re

_CODE = re.compile(r"(``.+?``|`[^`\n]+`)", re.DOTALL)
_BREAK = re.compile(r"(\n[ \t]*\n)")


def as_markdown(text: str) -> str:
    """A docstring as Markdown."""
    return "".join(map(_paragraph, _BREAK.split(text)))


def _paragraph(text: str) -> str:
    if all(line.startswith("    ") for line in text.splitlines()):  # code, or nothing
        return text
    pieces = _CODE.split(re.sub(r"::$", ":", text))
    return "".join(
        piece if piece.startswith("`") else piece.replace("<", "&lt;") for piece in pieces
    )

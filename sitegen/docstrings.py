"""Docstrings as Markdown: a Griffe extension for the API pages.

Our docstrings are nearly Markdown; what differs is the ``::`` before an indented block, and
tags of completions, which Markdown would take for HTML.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_CODE = re.compile(r"(``.+?``|`[^`\n]+`)", re.DOTALL)


class MarkdownDocstrings(griffe.Extension):
    """Rewrites each docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called once for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring as Markdown."""
    paragraphs = re.split(r"(\n[ \t]*\n)", text)
    return "".join(map(_paragraph, paragraphs))


def _paragraph(text: str) -> str:
    if re.fullmatch(r"(?:[ ]{4}.*(?:\n|\Z))+", text):  # an indented block is code already
        return text
    pieces = _CODE.split(re.sub(r"::$", ":", text))
    return "".join(
        piece if piece.startswith("`") else piece.replace("<", "&lt;") for piece in pieces
    )

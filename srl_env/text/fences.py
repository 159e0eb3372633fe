"""Fenced blocks in a text; a block may contain fences."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_FENCE: Final = re.compile(r"^```([^\n`]*)$", re.MULTILINE)
_HERE_DOCUMENT: Final = re.compile(r"<<-?[ \t]*(['\"]?)(\w{1,40})\1")
_MOST_DOCUMENTS: Final = 50


class Block(NamedTuple):
    """A fenced block: its start and end in the text, its language, and its content."""

    begin: int
    end: int
    language: str
    content: str


def fenced_blocks(text: str) -> list[Block]:
    """The outermost blocks, in order; [] if a fence is never closed. Linear.

    Inside a block, a fence with a language opens an inner block. Fences in a shell's here-document
    are part of its text.
    """
    blocks, open_fences = list[Block](), list[re.Match[str]]()
    looked = documents = 0
    for fence in _FENCE.finditer(text):
        while open_fences and looked < fence.start() and documents < _MOST_DOCUMENTS:
            document = _HERE_DOCUMENT.search(text, looked, fence.start())
            if document is None:
                break
            documents += 1
            looked = _end_of_document(text, document) or document.end()
        if fence.start() < looked:
            continue
        looked = fence.end()
        if open_fences and not fence[1].strip():
            opening = open_fences.pop()
            if not open_fences:
                inside = text[opening.end() : fence.start()]
                blocks.append(Block(opening.start(), fence.end(), opening[1].strip(), inside))
        else:
            open_fences.append(fence)
    return [] if open_fences else blocks


def _end_of_document(text: str, document: re.Match[str]) -> int:
    closed = re.compile(rf"^[ \t]*{document[2]}[ \t]*$", re.MULTILINE).search(text, document.end())
    return closed.end() if closed else 0

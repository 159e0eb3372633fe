"""Replacements that turn one text into another; each old text occurs exactly once."""

from __future__ import annotations

import ast
import difflib
from typing import Final

_JOINED_LINES: Final = 2


def valid_replacements(text: str, goal: str) -> list[tuple[str, str]]:
    """As ``replacements``; the text is valid Python after each of them."""
    pairs, now = replacements(text, goal), text
    for old, new in pairs:
        now = now.replace(old, new)
        try:
            ast.parse(now)
        except SyntaxError:
            return replacements(text, goal, joined_lines=len(text))
    return pairs


def replacements(
    text: str, goal: str, *, joined_lines: int = _JOINED_LINES
) -> list[tuple[str, str]]:
    """Pairs (old, new) to be applied in order, each of as few lines as make old unique.

    They have no line end after their last line, and are not empty unless the file is.
    joined_lines: differences with at most so many equal lines between them are one replacement.
    """
    pairs, now = [], text
    while now != goal:
        old, new = _first(now, goal, joined_lines)
        assert now.count(old) == 1
        pairs.append((old, new))
        now = now.replace(old, new)
        if len(pairs) > 50:  # the texts have nothing in common
            return [(text, goal)]
    return pairs


def _first(text: str, goal: str, joined_lines: int) -> tuple[str, str]:
    """The first difference as a replacement."""
    ours, theirs = text.splitlines(keepends=True), goal.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    (a, b, c, d), *others = (code[1:] for code in matcher.get_opcodes() if code[0] != "equal")
    for w, x, _, z in others:
        if w - b > joined_lines:
            break
        b, d = x, z
    for around in range(len(ours) - (b - a) + 1):  # lines of context, above first
        after = min(around // 2, len(ours) - b)
        before = min(around - after, a)
        after = min(around - before, len(ours) - b)
        old = "".join(ours[a - before : b + after])
        new = "".join(theirs[c - before : d + after])
        if old.endswith("\n") and new.endswith("\n"):
            old, new = old[:-1], new[:-1]
        if old.strip() and new.strip() and text.count(old) == 1:
            return old, new
    return text, goal

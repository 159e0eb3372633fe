"""What turns one text into another by replacements that each occur exactly once."""

from __future__ import annotations

import difflib


def replacements(faulty: str, right: str) -> list[tuple[str, str]]:
    """Pairs (old, new) to be made in order, each as few lines as make old the only one.

    Texts without their last line end; a pair's texts are never empty unless the file is.
    """
    pairs, text = [], faulty
    while text != right:
        old, new = _first(text, right)
        pairs.append((old, new))
        assert text.count(old) == 1
        text = text.replace(old, new)
        if len(pairs) > 50:  # texts that have nothing in common
            return [(faulty, right)]
    return pairs


def _first(text: str, right: str) -> tuple[str, str]:
    """The first difference as a replacement."""
    ours, theirs = text.splitlines(keepends=True), right.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    changed = [code[1:] for code in matcher.get_opcodes() if code[0] != "equal"]
    a, b, c, d = changed[0]
    for w, x, _, z in changed[1:]:
        if w - b > 2:
            break
        b, d = x, z
    before, after = 0, 0
    while True:
        old = "".join(ours[a - before : b + after])
        new = "".join(theirs[c - before : d + after])
        if old.endswith("\n") and new.endswith("\n"):
            old, new = old[:-1], new[:-1]
        if old.strip() and new.strip() and text.count(old) == 1:
            return old, new
        if before <= after and a - before > 0:
            before += 1
        elif b + after < len(ours):
            after += 1
        elif a - before > 0:
            before += 1
        else:
            return text, right

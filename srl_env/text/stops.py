"""Where a step ends in a text: one rule for every sampler and server."""

from __future__ import annotations

from collections.abc import Sequence

from srl_env.text.format import CLOSE, OPEN


def find_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the first stop string ends; None if there is none.

    A stop string counts from the first visible character on, and not inside a thought, which is
    between think tags at the start of the text. So a blank line before a step does not end it.
    """
    start = _visible(text, 0)
    if text.startswith(OPEN, start):
        closed = text.find(CLOSE, start)
        if closed < 0:
            return None
        start = _visible(text, closed + len(CLOSE))
    places = [(text.find(string, start), len(string)) for string in stop if string]
    return min((place + length for place, length in places if place >= 0), default=None)


def cut(text: str, stop: Sequence[str]) -> str:
    """The text up to its first stop string, which stays."""
    return text[: find_stop(text, stop)]


def thought_is_open(text: str) -> bool:
    """Whether a text begins with a thought between think tags that is not closed."""
    return text.startswith(OPEN, _visible(text, 0)) and CLOSE not in text


def _visible(text: str, start: int) -> int:
    """The place of the first character from ``start`` that is no white space."""
    return len(text) - len(text[start:].lstrip())

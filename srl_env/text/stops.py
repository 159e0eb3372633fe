"""Where a step ends in a text: one rule for every sampler and server."""

from __future__ import annotations

from collections.abc import Sequence

from srl_env.text.format import CLOSE, OPEN


def find_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the first stop string ends; None if there is none.

    A stop string counts from the first visible character on, and not inside a thought, which is
    between think tags at the start of the text. So a blank line before a step does not end it.
    """
    start = _counted_from(text)
    if start is None:
        return None
    places = [(text.find(string, start), len(string)) for string in stop if string]
    return min((place + length for place, length in places if place >= 0), default=None)


def ended_early(text: str, stop: Sequence[str]) -> bool:
    """Whether an engine that stops at any of these strings may have ended a text where none counts:
    in a thought, or before anything visible.
    """
    if not stop or find_stop(text, stop) is not None:
        return False
    start = _counted_from(text)
    return start in (None, len(text)) or any(string in text for string in stop)


def cut(text: str, stop: Sequence[str]) -> str:
    """The text up to its first stop string, which stays."""
    return text[: find_stop(text, stop)]


def thought_is_open(text: str) -> bool:
    """Whether a text begins with a thought between think tags that is not closed."""
    return _counted_from(text) is None


def _counted_from(text: str) -> int | None:
    """From where on stop strings count; None in a thought that is not closed."""
    start = _visible(text, 0)
    if not text.startswith(OPEN, start):
        return start
    closed = text.find(CLOSE, start)
    return None if closed < 0 else _visible(text, closed + len(CLOSE))


def _visible(text: str, start: int) -> int:
    """The place of the first character from ``start`` that is no white space."""
    return len(text) - len(text[start:].lstrip())

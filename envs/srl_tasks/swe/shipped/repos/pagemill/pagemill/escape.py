"""Text made safe for HTML, and HTML made text again."""

from __future__ import annotations

import re

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
SCHEMES = frozenset({"http", "https", "mailto"})

_TAG = re.compile(r"<[^<>]*>")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")


def escape(text: str) -> str:
    """The text with the characters replaced that mean something in HTML."""
    return "".join(ENTITIES.get(char, char) for char in text)


def unescape(text: str) -> str:
    """The text that was escaped."""
    for char, entity in reversed(ENTITIES.items()):
        text = text.replace(entity, char)
    return text


def strip_tags(html: str) -> str:
    """The text of HTML, with single spaces between words."""
    return " ".join(unescape(_TAG.sub("", html)).split())


def safe_target(target: str) -> str | None:
    """A link's target, escaped, or None where it may do harm.

    Web and mail addresses, and targets without a scheme, are safe.
    """
    cleaned = "".join(char for char in target if char.isprintable()).strip()
    scheme = _SCHEME.match(cleaned)
    if scheme is not None and scheme[1].lower() not in SCHEMES:
        return None
    return escape(cleaned)


def attributes(values: dict[str, str | bool | None]) -> str:
    """Attributes as they stand in a tag, each after a space, in order of their names.

    None and False leave one out; True writes its name alone.
    """
    parts = []
    for name, value in sorted(values.items()):
        if value is None or value is False:
            continue
        parts.append(f" {name}" if value is True else f' {name}="{escape(str(value))}"')
    return "".join(parts)


def element(tag: str, content: str, **values: str | bool | None) -> str:
    """An element around content that is HTML already."""
    return f"<{tag}{attributes(values)}>{content}</{tag}>"

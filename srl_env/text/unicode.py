"""Texts of unknown origin made safe for UTF-8 files and for terminals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Categories Cc, Cf, Cs, Zl and Zp and the supplementary variation selectors, without tab, newline
# and the joiners, which emoji and some scripts need.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e"
    "\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def utf8_safe(text: str) -> str:
    """The text with lone surrogates replaced by U+FFFD, so that it can be stored and sent.

    Surrogate pairs become the character they stand for; all other text stays.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def all_utf8_safe(value: Any) -> Any:
    """JSON-like data with ``utf8_safe`` applied to all of its texts, keys included."""
    if isinstance(value, str):
        return utf8_safe(value)
    if isinstance(value, Mapping):
        return {all_utf8_safe(key): all_utf8_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [all_utf8_safe(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def escaped(text: str) -> str:
    """The text with its invisible characters written as Python does: ``\\x1b``, ``\\u202e``.

    These are controls, bidirectional and other invisible characters, and lone surrogates. A
    surrogate escape, which stands for a byte that is not UTF-8, becomes that byte (``\\xff``).
    Newlines, tabs and the joiners U+200C and U+200D stay. The result is valid Unicode, and escaping
    it again changes nothing.
    """
    return _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    return ascii(found[0])[1:-1]

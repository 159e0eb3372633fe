"""Marks inside a line: emphasis, code, links."""

from __future__ import annotations

from pagemill.escape import element, escape, safe_target

ESCAPABLE = "\\`*[]()#>|-"


def render_inline(text: str) -> str:
    """The HTML of a line of markup. Marks without a partner stand for themselves."""
    parts: list[str] = []
    position = 0
    while position < len(text):
        html, position = _next_part(text, position)
        parts.append(html)
    return "".join(parts)


def plain_text(text: str) -> str:
    """A line of markup without its marks."""
    parts: list[str] = []
    position = 0
    while position < len(text):
        if text[position] == "\\" and _is_escapable(text, position + 1):
            parts.append(text[position + 1])
            position += 2
        elif text[position] in "*`":
            position += 1
        elif (link := _read_link(text, position)) is not None:
            label, _, position = link
            parts.append(plain_text(label))
        else:
            parts.append(text[position])
            position += 1
    return "".join(parts)


def _next_part(text: str, position: int) -> tuple[str, int]:
    char = text[position]
    if char == "\\" and _is_escapable(text, position + 1):
        return escape(text[position + 1]), position + 2
    if char == "`":
        end = text.find("`", position + 1)
        if end > position + 1:
            return element("code", escape(text[position + 1 : end])), end + 1
    if text.startswith("**", position):
        return _emphasis(text, position, "**", "strong")
    if char == "*":
        return _emphasis(text, position, "*", "em")
    if (link := _read_link(text, position)) is not None:
        label, target, end = link
        return _link(label, target), end
    return escape(char), position + 1


def _is_escapable(text: str, position: int) -> bool:
    return position < len(text) and text[position] in ESCAPABLE


def _emphasis(text: str, start: int, mark: str, tag: str) -> tuple[str, int]:
    """The element between two marks; a mark before a space opens nothing."""
    begin = start + len(mark)
    end = _find_closing(text, begin, mark)
    if end <= begin or text[begin].isspace():
        return mark, begin
    return element(tag, render_inline(text[begin:end])), end + len(mark)


def _find_closing(text: str, position: int, mark: str) -> int:
    """Where the mark comes again after something other than a space; -1 if it does not.

    Escaped characters and code are passed over, and ``**`` where ``*`` is looked for.
    """
    while position < len(text):
        if text[position] == "\\":
            position += 2
        elif text[position] == "`" and "`" in text[position + 1 :]:
            position = text.index("`", position + 1) + 1
        elif mark == "*" and text.startswith("**", position):
            closing = _find_closing(text, position + 2, "**")
            position = closing + 2 if closing > 0 else position + 2
        elif text.startswith(mark, position) and not text[position - 1].isspace():
            return position
        else:
            position += 1
    return -1


def _read_link(text: str, start: int) -> tuple[str, str, int] | None:
    """(label, target, end) of a link that begins here, or None."""
    if text[start] != "[":
        return None
    middle = text.find("](", start)
    if middle < 0 or "[" in text[start + 1 : middle]:
        return None
    end = text.find(")", middle)
    if end < 0:
        return None
    return text[start + 1 : middle], text[middle + 2 : end], end + 1


def _link(label: str, target: str) -> str:
    href = safe_target(target)
    if href is None:
        return render_inline(label)
    return f'<a href="{href}">{render_inline(label)}</a>'

"""Text in lines of a width."""

from __future__ import annotations

from collections.abc import Sequence

from pagemill.errors import WidthError


def wrap(text: str, width: int = 72, indent: str = "", hang: str | None = None) -> list[str]:
    """The words of a text in lines no longer than a width.

    indent: what the first line begins with; hang: the others, the same where not given. Words
    that are too long are cut. Raises WidthError where no character fits beside the indent.
    """
    hang = indent if hang is None else hang
    if width <= max(len(indent), len(hang)):
        raise WidthError(f"nothing fits into {width} columns")
    lines: list[str] = []
    current, empty = indent, True
    for word in text.split():
        while True:
            candidate = current + ("" if empty else " ") + word
            if len(candidate) <= width:
                current, empty = candidate, False
                break
            if empty:
                room = width - len(current)
                lines.append(current + word[:room])
                word = word[room:]
            else:
                lines.append(current)
            current, empty = hang, True
    if not empty:
        lines.append(current)
    return lines


def wrap_paragraphs(text: str, width: int = 72) -> str:
    """The text wrapped, its paragraphs (parted by empty lines) kept apart."""
    paragraphs: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip():
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    wrapped = ["\n".join(wrap(" ".join(lines), width)) for lines in paragraphs if lines]
    return "\n\n".join(wrapped)


def justify(line: str, width: int) -> str:
    """The line with its spaces widened to a width, those on the left first.

    A line of one word, or one that is too long, stays as it is.
    """
    words = line.split()
    missing = width - len(" ".join(words))
    if len(words) < 2 or missing <= 0:
        return line
    each, more = divmod(missing, len(words) - 1)
    parts = [words[0]]
    for index, word in enumerate(words[1:]):
        parts.append(" " * (1 + each + (1 if index < more else 0)) + word)
    return "".join(parts)


def columns(items: Sequence[str], width: int = 72, space: int = 2) -> str:
    """The items in as many columns as fit, filled downwards."""
    if not items:
        return ""
    widest = max(len(item) for item in items)
    count = max(1, (width + space) // (widest + space))
    height = -(-len(items) // count)
    lines = []
    for row in range(height):
        cells = items[row::height]
        lines.append((" " * space).join(cell.ljust(widest) for cell in cells).rstrip())
    return "\n".join(lines)


def indent_lines(text: str, by: str = "    ") -> str:
    """The text with something before each line that is not empty."""
    return "\n".join(by + line if line.strip() else line for line in text.split("\n"))


def dedent(text: str) -> str:
    """The text without the spaces that all its lines begin with; empty lines do not count."""
    lines = text.split("\n")
    spaces = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
    cut = min(spaces, default=0)
    return "\n".join(line[cut:] if line.strip() else "" for line in lines)

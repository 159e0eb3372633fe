"""Cuts the text of a formula into tokens."""

from __future__ import annotations

from dataclasses import dataclass

from formulate.errors import SyntaxFault

WORDS = frozenset({"and", "or", "not", "true", "false"})
#: Longer operators before the shorter ones that they begin with.
OPERATORS = ("==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "^", "&", "?", ":")
PUNCTUATION = "(),"


@dataclass(frozen=True)
class Token:
    """kind: number, text, name, word, operator, punctuation or end."""

    kind: str
    text: str
    position: int


def tokenize(source: str) -> list[Token]:
    """The tokens of a formula, with one of kind ``end`` after the last.

    Raises SyntaxFault for a character that begins no token, and for a text that is not closed.
    """
    tokens: list[Token] = []
    position = 0
    while position < len(source):
        if source[position].isspace():
            position += 1
            continue
        token, position = _next_token(source, position)
        tokens.append(token)
    tokens.append(Token("end", "", len(source)))
    return tokens


def _next_token(source: str, start: int) -> tuple[Token, int]:
    char = source[start]
    if char.isdecimal() or (char == "." and source[start + 1 : start + 2].isdecimal()):
        end = _number_end(source, start)
        return Token("number", source[start:end], start), end
    if char in "'\"":
        return _read_text(source, start)
    if char.isalpha() or char == "_":
        return _read_name(source, start)
    for operator in OPERATORS:
        if source.startswith(operator, start):
            return Token("operator", operator, start), start + len(operator)
    if char in PUNCTUATION:
        return Token("punctuation", char, start), start + 1
    raise SyntaxFault(f"unexpected character {char!r}", start)


def _digits_end(source: str, position: int) -> int:
    while position < len(source) and source[position].isdecimal():
        position += 1
    return position


def _number_end(source: str, start: int) -> int:
    """Where a number ends: digits, a point with digits, an exponent; the latter two may lack."""
    end = _digits_end(source, start)
    if source[end : end + 1] == ".":
        end = _digits_end(source, end + 1)
    if source[end : end + 1] in ("e", "E"):
        sign = 1 if source[end + 1 : end + 2] in ("+", "-") else 0
        exponent_end = _digits_end(source, end + 1 + sign)
        if exponent_end > end + 1 + sign:
            end = exponent_end
    return end


def _read_text(source: str, start: int) -> tuple[Token, int]:
    quote = source[start]
    parts: list[str] = []
    position = start + 1
    while position < len(source):
        if source[position] != quote:
            parts.append(source[position])
            position += 1
        elif source[position + 1 : position + 2] == quote:
            parts.append(quote)
            position += 2
        else:
            return Token("text", "".join(parts), start), position + 1
    raise SyntaxFault("a text that is not closed", start)


def _read_name(source: str, start: int) -> tuple[Token, int]:
    end = start
    while end < len(source) and (source[end].isalnum() or source[end] in "_."):
        end += 1
    name = source[start:end]
    if name.lower() in WORDS:
        return Token("word", name.lower(), start), end
    if name.endswith("."):
        raise SyntaxFault(f"the name {name!r} ends with a dot", start)
    return Token("name", name, start), end

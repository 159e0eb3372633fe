"""Codes of items: letters and digits in groups, and a check digit where one is wanted."""

from __future__ import annotations

import re

from stockroom.errors import CodeError

CODE = re.compile(r"[A-Z0-9]+(?:-[A-Z0-9]+)*")


def clean_code(code: str) -> str:
    """The code in capitals, its groups joined by dashes. Raises CodeError for what is none."""
    cleaned = re.sub(r"[\s_./-]+", "-", code.strip().upper()).strip("-")
    if not CODE.fullmatch(cleaned):
        raise CodeError(f"{code!r} is no code")
    return cleaned


def family(code: str, groups: int = 1) -> str:
    """The first groups of a code, which related items share."""
    return "-".join(clean_code(code).split("-")[:groups])


def check_digit(code: str) -> int:
    """The digit that makes a code's weighted sum a multiple of ten: weights 3 and 1 by turns,
    from the right; letters count as 10 … 35."""
    total = 0
    for place, character in enumerate(reversed(clean_code(code).replace("-", ""))):
        weight = 3 if place % 2 == 0 else 1
        total += weight * character_value(character)
    return -total % 10


def character_value(character: str) -> int:
    """0 … 9 for digits, 10 … 35 for letters."""
    return int(character) if character.isdigit() else ord(character) - ord("A") + 10


def with_check_digit(code: str) -> str:
    """The code with its check digit as a last group."""
    return f"{clean_code(code)}-{check_digit(code)}"


def is_valid(code: str) -> bool:
    """Whether the last group of a code is its check digit."""
    try:
        body, _, last = clean_code(code).rpartition("-")
    except CodeError:
        return False
    return bool(body) and last == str(check_digit(body))


def sort_key(code: str) -> tuple[tuple[int, int, str], ...]:
    """What codes are sorted by: numbers as numbers, and before letters."""
    groups = re.findall(r"[0-9]+|[A-Z]+", clean_code(code))
    return tuple((0, int(g), "") if g.isdigit() else (1, 0, g) for g in groups)

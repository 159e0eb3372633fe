r"""Comparing two answers in LaTeX as far as possible without mathematics.

Math-verify drops what it does not read: units, dots, all but one side of a chain of relations.
These are compared here, so that it gets only what it reads completely.
"""

from __future__ import annotations

import re
from typing import Final

from srl_env.verifiers.answers import BRACKETS, Number, bare, number_in
from srl_env.verifiers.units import is_symbol, same_unit, unit_named

_SPELLINGS: Final = (
    (re.compile(r"\\(?:left|right|displaystyle)(?![a-z])\s*|\\[,;:! ]|~"), " "),
    (re.compile(r"\\mathrm\s*\{\s*([a-z])\s*\}"), r"\1"),
    (re.compile(r"\\varnothing"), r"\\emptyset"),
    (re.compile(r"\{,\}"), ","),
)
_UNIT: Final = re.compile(
    r"(?:\\(?:text|mathrm|textrm|mbox)\s*\{(?P<marked>[^{}]*)\}|(?<=[\d}])\s*(?P<bare>[a-zA-Z]{2,3}))"
    r"(?P<power>\s*(?:\^\s*\{?\s*-?\d\s*\}?)?)$"
)
_SIGNS: Final = ("", "%", "°", "$", "€", "£", "¥")
_DOTS: Final = re.compile(r"\\[lcvd]?dots\w?|\.\.\.|…")
_IMPLIES: Final = re.compile(
    r"\\(?:Long)?[Rr]ightarrow|\\implies|\\iff|\\therefore|\\to(?![a-z])|[→⇒]|[=-]>"
)
_OR: Final = re.compile(r"\\(?:lor|vee)(?![a-z])|(?<![a-zA-Z\\])or(?![a-zA-Z])")
_RELATION: Final = re.compile(
    r"\\(?:leq?|geq?|neq?|lt|gt|approx|equiv|sim|[lg]eqslant)(?![a-zA-Z])|[=<>≤≥≠≈]"
)
_VARIABLE: Final = re.compile(
    r"(?!\\(?:not|neg|lnot)(?![a-zA-Z]))\\?[a-zA-Z]+(?:_(?:\w|\{\w+\}))?'?\s*(?:\(\s*\\?[a-zA-Z]\s*\)\s*)?=(?!=)"
)
_BASE: Final = re.compile(r"(?<=\d)_\s*(?:\{\s*(\d+)\s*\}|(\d))")
_DEGREES: Final = re.compile(
    r"(?<=[\d}])\s*(?:\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-z]))|°|\\degree)"
)
_TRIGONOMETRY: Final = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")


def compared(answer: str, expected: str) -> bool | tuple[str, str]:
    """Whether the two are equal, or the pair (answer, expected) that mathematics must compare."""
    one, other = _plain(answer), _plain(expected)
    if one.replace(" ", "") == other.replace(" ", "") or (
        len(one) > 1 and one.isalpha() and one.casefold() == other.casefold()
    ):
        return True
    if not one or has_dots(one + other) or _differ(one, other):
        return False
    one, other = _right_sides(one, other)
    number, wanted = _number(one), _number(other)
    if number and wanted and (number.unit or not _maybe_product(other)):
        return wanted.same(number)
    bodies = _without_units(one, other)
    if bodies is None:
        return False
    one, other = bodies
    return _for_mathematics(_bracketed(one, other)), _for_mathematics(other)


def has_dots(latex: str) -> bool:
    """Whether dots stand for omitted items, as in 1, 2, \\dots, 9."""
    return _DOTS.search(latex) is not None


def _number(latex: str) -> Number | None:
    number = number_in(latex)
    return number if number and (number.unit in _SIGNS or _split_unit(latex)[1]) else None


def _plain(latex: str) -> str:
    latex = bare(latex)
    for pattern, spelling in _SPELLINGS:
        latex = pattern.sub(spelling, latex)
    return bare(" ".join(latex.split()))


def _differ(one: str, other: str) -> bool:
    """Whether an answer states more than the expected one (a derivation, candidates, a chain of
    relations) or has other brackets or another base."""
    if any(len(more.findall(one)) != len(more.findall(other)) for more in (_IMPLIES, _OR)):
        return True
    links, expected_links = len(_RELATION.findall(one)), len(_RELATION.findall(other))
    if links > expected_links and not (links == 1 and _VARIABLE.match(one)):
        return True
    brackets, bases = (_bracket(one), _bracket(other)), (_bases(one), _bases(other))
    return any(all(both) and both[0] != both[1] for both in (brackets, bases))


def _bases(latex: str) -> list[str]:
    return [braced or digit for braced, digit in _BASE.findall(latex)]


def _right_sides(one: str, other: str) -> tuple[str, str]:
    """``x = 5`` and ``5`` become ``5`` and ``5``; two relations stay as they are."""
    if len(_RELATION.findall(one)) == len(_RELATION.findall(other)):
        return one, other
    stripped = [_VARIABLE.sub("", side, count=1).strip() for side in (one, other)]
    return stripped[0], stripped[1]


def _bracket(latex: str) -> str:
    """The opening and the closing bracket around the whole, "" without."""
    latex = latex.replace("\\{", "{").replace("\\}", "}")
    both = latex[:1] + latex[-1:]
    return both if both[:1] in BRACKETS and both[1:] in BRACKETS.values() and "," in latex else ""


def _bracketed(one: str, other: str) -> str:
    """An answer in the brackets of the expected one, if it has none."""
    lacks = "," in one and _bracket(other)[:1] in ("(", "[") and not _bracket(one)
    return f"{other[0]}{one}{other[-1]}" if lacks else one


def _without_units(one: str, other: str) -> tuple[str, str] | None:
    """The two without their units; None if the units differ."""
    (body, unit), (expected_body, expected_unit) = _split_unit(one), _split_unit(other)
    if unit and expected_unit:
        return (body, expected_body) if same_unit(unit, expected_unit) else None
    return (one, other) if _maybe_product(other) else (body, expected_body)


def _maybe_product(latex: str) -> bool:
    """Whether a possible unit is bare letters: 2ms is also 2 times m times s."""
    found = _UNIT.search(latex)
    return found is not None and found["bare"] is not None


def _split_unit(latex: str) -> tuple[str, str]:
    """An answer without its unit, and the unit's name or ""."""
    found = _UNIT.search(latex)
    if found is None or not latex[: found.start()].strip():
        return latex, ""
    text = found["marked"] if found["bare"] is None else found["bare"]
    unit = unit_named(text + found["power"].replace(" ", ""))
    if unit is None or (found["bare"] and not is_symbol(unit)):
        return latex, ""
    return latex[: found.start()].strip(), unit


def _for_mathematics(latex: str) -> str:
    """Degrees as radians inside trigonometric functions, and dropped elsewhere."""
    radians = r"\\cdot\\frac{\\pi}{180}" if _TRIGONOMETRY.search(latex) else ""
    return _DEGREES.sub(radians, latex)

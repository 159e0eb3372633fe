"""``maths``: the equations of a step, compared as mathematics in place of texts.

The F1 of the action's equations against the expert's: 2 × equal ones / all of both. Two equations
are equal if the difference of their sides is the same up to a constant factor, so ``2x = 4``,
``x = 2`` and ``2 = x`` are equal. Without variables, both sides must have the same values. A chain
``a = b = c`` is two equations. In LaTeX delimiters, expressions without a relation count too. A
step of the expert without any equation is compared as in ``numbers``.

Expressions are plain (``48/2 = 24``, ``2(x+1)``) or LaTeX (``\\frac``, ``\\sqrt``, ``\\cdot``, …).
They are compared by their values at fixed random points: exactly, modulo a prime of 61 bits, or in
floating point to 1e-9 if they have roots or other functions (Schwartz, 1980). So the work is
linear in the text and needs no deadline, and nothing is evaluated as code.

Range: [0, 1]. Blind spots: words are ignored, so a wrong unit or a wrong reason costs nothing; a
calculation counts by its values, so ``24 = 24`` equals ``48/2 = 24``; what is not read (integrals,
matrices, several letters as one name) is compared as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from srl_env.rewards.measures.expressions import Values, evaluated
from srl_env.rewards.measures.numbers import number_similarity
from srl_env.rewards.record import TextMeasure

MAX_CHARACTERS = 10_000
MAX_EQUATIONS = 32
"""How much of a text is read, and how many equations of it."""

_LATEX = re.compile(
    r"\$\$?([^$]{1,1000})\$\$?|\\\[(.{1,1000}?)\\\]|\\\((.{1,1000}?)\\\)", re.DOTALL
)
_CALCULATOR = re.compile(r"<<[^<>\n]*>>")  # GSM8K repeats its equations in these
_UNIT = re.compile(r"(?<=[0-9)])[ \t]{0,3}[A-Za-z]{2,20}(?=[ \t]{0,3}[-+*/=<>×÷])")
_RUN = re.compile(
    r"(?:(?<![A-Za-z])[A-Za-z](?![A-Za-z])|\\[A-Za-z]+|[-0-9.,+*/^=<>≤≥≠×÷·−(){}_%$ \t])+"
)
_RELATION = re.compile(r"(\\(?:leq?|geq?|neq?|lt|gt)(?![A-Za-z])|<=|>=|!=|[=<>≤≥≠])")
_SEPARATOR = re.compile(r"[,;.][ \t\n]+")
_KINDS = {
    "<=": "≤", ">=": "≥", "!=": "≠", "\\le": "≤", "\\leq": "≤", "\\ge": "≥", "\\geq": "≥",
    "\\ne": "≠", "\\neq": "≠", "\\lt": "<", "\\gt": ">",
}  # fmt: skip
_FLIPPED = {">": "<", "≥": "≤"}


@dataclass(frozen=True, slots=True)
class Equation:
    """A relation of two sides, or one expression (kind ""); text: what it was read from.

    left, right: None where a side cannot be read.
    """

    kind: str
    text: str
    left: Values | None
    right: Values | None = None

    def equals(self, other: Equation) -> bool:
        """Whether both say the same."""
        if self.kind != other.kind or self.text == other.text:
            return self.kind == other.kind
        if self.left is None or other.left is None:
            return False
        if not self.kind:
            return self.left.same(other.left)
        if self.right is None or other.right is None:
            return False
        return self.left.relates_as(self.right, other.left, other.right, self.kind)


def equation_similarity(action: str, expert_action: str) -> float:
    """F1 of the equations; ``number_similarity`` if the expert's step has none."""
    expert = _expert_equations(expert_action)
    if not expert:
        return number_similarity(action, expert_action)
    own, left = equations(action), list(expert)
    for each in own:
        found = next((i for i, one in enumerate(left) if each.equals(one)), None)
        if found is not None:
            del left[found]
    return 2.0 * (len(expert) - len(left)) / (len(own) + len(expert))


def equations(text: str) -> tuple[Equation, ...]:
    """The equations in a text, in order, at most ``MAX_EQUATIONS``."""
    found = list[Equation]()
    for piece, latex in _pieces(_CALCULATOR.sub("", text[:MAX_CHARACTERS])):
        for part in _SEPARATOR.split(piece):
            found += _read(part, latex)
        if len(found) >= MAX_EQUATIONS:
            break
    return tuple(found[:MAX_EQUATIONS])


_expert_equations = lru_cache(maxsize=1024)(equations)  # all members of a group have the same


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """What may be mathematics, and whether it stood in LaTeX delimiters."""
    place = 0
    for found in _LATEX.finditer(text):
        yield from ((run, False) for run in _runs(text[place : found.start()]))
        yield next(filter(None, found.groups())), True
        place = found.end()
    yield from ((run, False) for run in _runs(text[place:]))


def _runs(text: str) -> Iterator[str]:
    """Stretches of plain text that have a relation."""
    for found in _RUN.finditer(_UNIT.sub(" ", text)):
        if _RELATION.search(found[0]):
            yield found[0]


def _read(piece: str, latex: bool) -> Iterator[Equation]:
    sides = _RELATION.split(piece.strip(" \t\n.,;:"))
    texts = [side.strip(" \t\n.,;:") for side in sides[::2]]
    values = [evaluated(text) for text in texts]
    if len(texts) == 1 and latex and texts[0]:
        yield Equation("", texts[0], values[0])
    for i, sign in enumerate(sides[1::2]):
        if texts[i] and texts[i + 1]:
            kind, (a, b) = _KINDS.get(sign, sign), (i, i + 1)
            if kind in _FLIPPED:
                kind, (a, b) = _FLIPPED[kind], (b, a)
            yield Equation(kind, f"{texts[a]}{kind}{texts[b]}", values[a], values[b])


MATHS = TextMeasure(equation_similarity)

"""Final answers as people write them: numbers with units, choices, lists, sets, and texts.

The expected answer decides its kind (``read_answer``), and the kind decides which stated answers
equal it. Everything here is linear in the text, or bounded by its first ``MAX_CHARACTERS``
characters, and never raises.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from srl_env.verifiers.units import same_unit, unit_named

MAX_CHARACTERS: Final = 300
"""A longer text is not a number or a list."""
MOST_WORDS: Final = 5
"""An answer with more words is a sentence."""
MAX_DIGITS: Final = 60
MAX_EXPONENT: Final = 400

_WRAPPED: Final = (
    re.compile(r"\\boxed\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"),
    re.compile(r"\\\(((?:(?!\\\)).)*)\\\)|\\\[((?:(?!\\\]).)*)\\\]", re.DOTALL),
    re.compile(r"\*\*([^*]*)\*\*|__([^_]*)__|`([^`]*)`|\*([^*]*)\*|_([^_]*)_"),
    re.compile(r"\$\$([^$]*)\$\$|\$([^$]*)(?<!\\)\$"),
    re.compile(r"\\(?:text|textbf|mathbf|mathrm)\s*\{([^{}]*)\}"),
    re.compile(r"[\"“]([^\"”]*)[\"”]"),
)
_SPOKEN: Final = re.compile(
    r"(?:the\s+)?(?:final\s+)?answer(?:\s+is|\s*[:=])\s*:?\s*|=\s*", re.IGNORECASE
)
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_NAME: Final = re.compile(r"[^\W\d_][\w ']{0,40}(?:\([a-z]\))?\s*=\s*(?=[^=])")
_LATEX: Final = (
    (re.compile(r"\\(?:text|mathrm|textrm|mbox|mathbf)\s*\{([^{}]*)\}"), r" \1"),
    (re.compile(r"\\[dt]?frac\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))"), r" \1\2/\3\4 "),
    (re.compile(r"\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degree"), "°"),
    (re.compile(r"\\times|\\cdot|×|·"), "*"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,;:! ]|(?<=\S)~(?=\S)|\\left|\\right|\\quad"), " "),
    (re.compile(r"\\([%$€£#&{}_])"), r"\1"),
)
_CURRENCY: Final = r"US\$|USD|EUR|GBP|JPY|INR|Rs\.?|[$€£¥₹]"
_GROUPED: Final = r"\d{1,3}(?:(?P<comma>[,'’ ])\d{3})(?:(?P=comma)\d{3})*(?![\d,'’]| \d)"
_NUMBER: Final = re.compile(
    rf"""(?P<sign>[-+]?)\s*(?P<currency>{_CURRENCY})?\s*(?P<sign2>[-+]?)\s*
    (?:(?P<mixed>\d+)\s+(?P<above>\d+)\s*/\s*(?P<below>\d+)
      |(?P<whole>{_GROUPED}|\d*)(?:\.(?P<decimals>\d*))?(?:\s*/\s*(?P<divisor>\d+))?)
    (?:\s*[*xX]\s*10\s*\^\s*\{{?\s*(?P<power>[-+]?\d+)\s*\}}?|[eE](?P<exponent>[-+]?\d+))?""",
    re.VERBOSE,
)
_POWER_OF_TEN: Final = re.compile(r"(?P<sign>[-+]?)10\s*\^\s*\{?\s*(?P<power>[-+]?\d+)\s*\}?")
_SCALES: Final = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_CHOICE: Final = re.compile(r"[(\[]?([A-Ja-j])(?:[)\].:]+\s*(?P<said>.*)|)", re.DOTALL)
_CHOOSING: Final = re.compile(r"(?:option|choice|answer)\s*:?\s+", re.IGNORECASE)
_MORE_CHOICES: Final = re.compile(r"(?:^|,|/|\b(?:or|and)\b)\s*\(?[A-J]\b|\(?\b[A-J]\)")
_BETWEEN: Final = re.compile(r"\s*[,;]\s*(?:and\s+)?|\s+and\s+")
_CANDIDATES: Final = re.compile(r"\s*,?\s+or\s+|\s*,\s*")
BRACKETS: Final = {"{": "}", "(": ")", "[": "]"}


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number and the name of its unit, "" without one."""

    value: Fraction
    unit: str = ""

    def equals(self, stated: str) -> bool:
        """Equal as numbers, exactly. A missing unit is accepted, a different one is not."""
        found = number_in(stated)
        return found is not None and self.same(found)

    def same(self, other: Number) -> bool:
        """Whether two numbers are equal; 50 % equals 50, and also 0.5 without a unit."""
        if self.unit and other.unit and not same_unit(self.unit, other.unit):
            return False
        percent = (self.unit == "%") - (other.unit == "%")
        return self.value == other.value or (
            percent != 0 and self.value == other.value * Fraction(100) ** percent
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several options, by its letter: B, (B), B), B. or B) with the option's text."""

    letter: str

    def equals(self, stated: str) -> bool:
        """Whether only this option is stated."""
        return choice_in(stated) == self.letter


@dataclass(frozen=True, slots=True)
class Items:
    """A list in its order, or a set in any order; bracket: "{" for a set, "" without one."""

    bracket: str
    items: tuple[str, ...]

    def equals(self, stated: str) -> bool:
        """Whether the same items are stated; brackets may be missing but not differ."""
        found = items_in(stated)
        if found is None or len(found.items) != len(self.items):
            return False
        if found.bracket not in ("", self.bracket) and (self.bracket or found.bracket == "{"):
            return False
        wanted = [read_answer(item) for item in self.items]
        if self.bracket != "{":
            return all(w.equals(s) for w, s in zip(wanted, found.items, strict=True))
        left = list(found.items)
        for item in wanted:
            match = next((i for i, stated in enumerate(left) if item.equals(stated)), None)
            if match is None:
                return False
            del left[match]
        return True


@dataclass(frozen=True, slots=True)
class Text:
    """Any other answer."""

    text: str

    def equals(self, stated: str) -> bool:
        """Equal apart from case, white space, Markdown, quotes and closing punctuation."""
        return folded(stated) == self.text


Answer = Number | Choice | Items | Text


def read_answer(text: str) -> Answer:
    """The expected answer by its kind: a number, a choice, a list or set, or a text."""
    letter = choice_in(text)
    choice = None if letter is None else Choice(letter)
    return number_in(text) or choice or items_in(text) or Text(folded(text))


def number_in(text: str) -> Number | None:
    """The number, with its unit, that makes up the whole text; None for any other text.

    It reads signs, thousands separators, decimals, fractions, mixed numbers, powers of ten,
    currencies, percent, "5 million", units after the number, "=" or "x =" before it, Markdown and
    simple LaTeX. None for two numbers, arithmetic, and more than ``MAX_DIGITS`` digits.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    plain = _NAME.sub("", _unlatexed(bare(text)), count=1).strip()
    found = _POWER_OF_TEN.match(plain) or _NUMBER.match(plain)
    value = None if found is None else _value(found.groupdict())
    if found is None or value is None:
        return None
    currency, rest = found.groupdict().get("currency"), plain[found.end() :]
    scale, rest = _scaled(rest)
    unit = _unit(currency, rest)
    return None if unit is None else Number(value * scale, unit)


def _value(parts: dict[str, str | None]) -> Fraction | None:
    """The number of a match of ``_NUMBER`` or ``_POWER_OF_TEN``."""
    whole = re.sub(r"\D", "", parts.get("whole") or "")
    decimals, mixed = parts.get("decimals") or "", parts.get("mixed") or ""
    above, below = parts.get("above") or "0", parts.get("below") or parts.get("divisor") or "1"
    power = parts.get("power") or parts.get("exponent") or "0"
    if max(map(len, (whole + decimals, mixed + above, below))) > MAX_DIGITS:
        return None
    if len(power) > 5 or abs(int(power)) > MAX_EXPONENT or int(below) == 0:
        return None
    if mixed:
        value = int(mixed) + Fraction(int(above), int(below))
    elif whole or decimals:
        value = Fraction(int(whole + decimals), 10 ** len(decimals) * int(below))
    elif "whole" in parts:
        return None
    else:
        value = Fraction(1)  # a power of ten alone
    signs = (parts["sign"] or "") + (parts.get("sign2") or "")
    return value * Fraction(10) ** int(power) * (-1 if signs.count("-") == 1 else 1)


def _scaled(rest: str) -> tuple[Fraction, str]:
    """The factor that words such as "million" after a number mean, and the text after them."""
    scale = Fraction(1)
    while word := re.match(r"\s+([a-z]+)\b", rest, re.IGNORECASE):
        power = _SCALES.get(word[1].lower())
        if power is None:
            break
        scale, rest = scale * 10**power, rest[word.end() :]
    return scale, rest


def _unit(currency: str | None, rest: str) -> str | None:
    """The unit named by a currency before and a text after a number; None if it is not a unit."""
    after = rest.strip().rstrip(".,;")
    attached = bool(rest) and not rest[0].isspace()
    if not after:
        return "" if currency is None else unit_named(currency)
    if attached and (after[0].isdigit() or (after[0] in "kKMBxX" and len(after) == 1)):
        return None  # 5k, 5x
    if currency is None:
        return unit_named(after)
    named = unit_named(after) or unit_named(f"{currency} {after}")
    before = unit_named(currency)
    return named if named is None or named.startswith(f"{before}/") else before


def choice_in(text: str) -> str | None:
    """The letter, in capitals, of the only option that is stated, or None."""
    plain = _CHOOSING.sub("", bare(text)[:MAX_CHARACTERS], count=1)
    found = _CHOICE.fullmatch(bare(plain))
    if found is None or _MORE_CHOICES.search(found["said"] or ""):
        return None
    return found[1].upper()


def items_in(text: str) -> Items | None:
    """The two or more items of a list or set, with its bracket; None for any other text."""
    plain = bare(text).replace("\\{", "{").replace("\\}", "}").strip()
    if len(plain) > MAX_CHARACTERS or not plain:
        return None
    bracket, between = "", _BETWEEN
    if BRACKETS.get(plain[0]) == plain[-1] and _balanced(plain[1:-1]):
        bracket, plain = plain[0], plain[1:-1]
    elif re.search(r"\bor\b", plain):
        bracket, between = "{", _CANDIDATES
    items = _split(plain.strip(), between)
    if not all(map(_balanced, items)) or not all(items) or (len(items) < 2 and bracket != "{"):
        return None
    return Items(bracket, items)


def _split(text: str, between: re.Pattern[str]) -> tuple[str, ...]:
    parts, begin = [], 0
    for found in between.finditer(text):
        if _balanced(text[begin : found.start()]):
            parts.append(text[begin : found.start()].strip())
            begin = found.end()
    return (*parts, text[begin:].strip())


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in BRACKETS) - (character in BRACKETS.values())
        if depth < 0:
            return False
    return depth == 0


def prose(text: str) -> str | None:
    """The reason for an answer that is a sentence, which only the same sentence equals, or None."""
    if not isinstance(read_answer(text), Text) or len(_WORD.findall(text)) <= MOST_WORDS:
        return None
    return f"a text of more than {MOST_WORDS} words"


def bare(text: str) -> str:
    """A text without what surrounds it: blanks, Markdown, math delimiters, quotes, a box, "the
    answer is", and closing punctuation."""
    for _ in range(4):
        before, text = text, _unwrapped(text.strip().rstrip(".,;").strip())
        if text == before:
            break
    return text


def _unwrapped(text: str) -> str:
    for pattern in _WRAPPED:
        if found := pattern.fullmatch(text):
            return next(group for group in found.groups() if group is not None)
    spoken = _SPOKEN.match(text)
    return text[spoken.end() :] if spoken else text


def _unlatexed(text: str) -> str:
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    return re.sub(r"[\s\u00a0\u2009\u202f]+", " ", text.replace("−", "-").replace("–", "-")).strip()


def folded(text: str) -> str:
    """A text for comparison: without case, wrapping, extra white space, closing punctuation."""
    plain = unicodedata.normalize("NFKC", bare(text)).casefold()
    return " ".join(plain.split()).rstrip(".!?,; ")

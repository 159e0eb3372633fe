"""Units and currencies as people write them, each under one symbol."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# Each unit: its symbol, then the other ways to write it; "(s)" is with and without, and "meter"
# and "liter" are also "metre" and "litre". Symbols keep their case: mW is not MW.
_TABLE: Final = """
% percent, per cent, pct | ° deg, degree(s) | °C celsius, degree(s) celsius
°F fahrenheit, degree(s) fahrenheit | $ usd, us$, dollar(s) | € eur, euro(s)
£ gbp, pound(s) sterling | ¥ jpy, yen | ₹ inr, rs, rs., rupee(s) | ¢ cent(s)
mm millimeter(s) | cm centimeter(s) | m meter(s) | km kilometer(s)
in inch, inches | ft foot, feet | yd yard(s) | mi mile(s)
mg milligram(s) | g gram(s) | kg kilogram(s), kilo(s) | t ton(s), tonne(s)
oz ounce(s) | lb lbs | pound pounds | ml mL, milliliter(s) | l L, liter(s) | gal gallon(s)
ms millisecond(s) | s sec(s), second(s) | min mins, minute(s) | h hr(s), hour(s)
d day(s) | wk week(s) | mo month(s) | yr yrs, year(s)
N newton(s) | J joule(s) | kJ kilojoule(s) | W watt(s) | mW milliwatt(s) | kW kilowatt(s)
MW megawatt(s) | kWh kilowatt-hour(s), kilowatt hours
kB KB, kilobyte(s) | MB megabyte(s) | GB gigabyte(s) | TB terabyte(s)
V volt(s) | A ampere(s), amp(s) | Ω ohm(s) | Pa pascal(s) | kPa kilopascal(s) | Hz hertz
K kelvin(s) | mol mole(s) | C coulomb(s) | F farad(s) | T tesla(s) | rad radian(s)
km/h kph, kmh | mi/h mph
"""


def _spellings(entry: str) -> Iterator[tuple[str, str]]:
    """(spelling, symbol) for each way to write a unit of the table."""
    symbol, _, others = entry.strip().partition(" ")
    for text in (symbol, *others.split(",")):
        for plural in ("", "s"):
            spelling = text.strip().replace("(s)", plural)
            yield spelling, symbol
            yield spelling.replace("meter", "metre").replace("liter", "litre"), symbol


_NAMES: Final = dict(
    pair for entry in _TABLE.strip().replace("\n", "|").split("|") for pair in _spellings(entry)
)
_EITHER: Final = ({"pound", "lb"}, {"pound", "£"})
_POWERS: Final = {"²": "^2", "³": "^3"}
_NOUN: Final = re.compile(r"[^\W\d_]{3,}")
_WORDS: Final = re.compile(r"[^\W\d_]+(?:[-'’.][^\W\d_]*)*")
_NOT_UNITS: Final = frozenset(
    {"per", "or", "and", "to", "between", "not", "minus", "plus", "times"}
    | {"is", "was", "but", "nor", "maybe", "wrong", "squared", "cubed", "factorial", "point"}
    | {"half", "halves", "third", "thirds", "fourth", "fourths", "fifth", "fifths", "sixths"}
    | {"eighth", "eighths", "tenth", "tenths", "hundredth", "hundredths", "thousandths"}
)


def unit_named(text: str) -> str | None:
    """The unit's name: "km/h" for "km per hour"; None for a text that is not a unit.

    Counted things are units too: "red apples" becomes "apple red", sorted and in the singular.
    Single letters are units only if the table has them.
    """
    text = " ".join(text.replace("\\", " ").split())
    for power, plain in _POWERS.items():
        text = text.replace(power, plain)
    text = re.sub(r"\^\{?(\d)\}?", r"^\1", text)
    text = re.sub(r"\b(square|sq\.?|cubic|cu\.?) (\w+)", _with_power, text)
    if (known := _known(text)) is not None:
        return known
    parts = re.split(r"\s*/\s*|\s+per\s+|\s+an?\s+(?=\w+$)", text)
    named = [_known(part) or _counted(part) for part in parts]
    if any(part is None for part in named):
        return None
    return "/".join(part for part in named if part)


def same_unit(one: str, other: str) -> bool:
    """Whether two names mean one unit; an extra word ("red apples", "apples") changes nothing."""
    if one == other or {one, other} in _EITHER:
        return True
    if any("/" in name or _known(name) for name in (one, other)):
        return False
    words, others = set(one.split()), set(other.split())
    return words <= others or others <= words


def is_symbol(name: str) -> bool:
    """Whether the table has a unit of this name, powers included."""
    return _known(name) == name


def _known(text: str) -> str | None:
    base, power, exponent = text.partition("^")
    if power and not re.fullmatch(r"-?\d", exponent):
        return None
    for spelling in (base.strip(), base.strip().lower()):
        if spelling in _NAMES:
            return _NAMES[spelling] + power + exponent
    return None


def _counted(text: str) -> str | None:
    """Counted nouns, in the singular and sorted; None for anything else."""
    words = text.split()
    if not words or len(words) > 6 or not all(map(_WORDS.fullmatch, words)):
        return None
    lower = [word.lower().strip(".'’") for word in words]
    if _NOT_UNITS & set(lower) or not any(map(_NOUN.match, lower)):
        return None
    return " ".join(sorted(_singular(word) for word in lower))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _with_power(found: re.Match[str]) -> str:
    return f"{found[2]}^{2 if found[1].startswith('sq') else 3}"

"""Units and currencies as people write them, each under one name."""

from __future__ import annotations

import re
from typing import Final

# One line a unit: its name, then the other ways to write it. Symbols keep their case: mW is not MW.
_TABLE: Final = """
%: percent, per cent, pct
°: deg, degree, degrees
°C: celsius, degrees celsius, degree celsius
°F: fahrenheit, degrees fahrenheit, degree fahrenheit
$: usd, us$, dollar, dollars
€: eur, euro, euros
£: gbp, pound sterling, pounds sterling
¥: jpy, yen
₹: inr, rs, rs., rupee, rupees
¢: cent, cents
mm: millimeter, millimeters, millimetre, millimetres
cm: centimeter, centimeters, centimetre, centimetres
m: meter, meters, metre, metres
km: kilometer, kilometers, kilometre, kilometres
in: inch, inches
ft: foot, feet
yd: yard, yards
mi: mile, miles
mg: milligram, milligrams
g: gram, grams
kg: kilogram, kilograms, kilo, kilos
t: ton, tons, tonne, tonnes
oz: ounce, ounces
lb: lbs
pound: pounds
ml: mL, milliliter, milliliters, millilitre, millilitres
l: L, liter, liters, litre, litres
gal: gallon, gallons
ms: millisecond, milliseconds
s: sec, secs, second, seconds
min: mins, minute, minutes
h: hr, hrs, hour, hours
d: day, days
wk: week, weeks
mo: month, months
yr: yrs, year, years
N: newton, newtons
J: joule, joules
kJ: kilojoule, kilojoules
W: watt, watts
mW: milliwatt, milliwatts
kW: kilowatt, kilowatts
MW: megawatt, megawatts
kWh: kilowatt-hour, kilowatt-hours, kilowatt hours
kB: KB, kilobyte, kilobytes
MB: megabyte, megabytes
GB: gigabyte, gigabytes
TB: terabyte, terabytes
V: volt, volts
A: ampere, amperes, amp, amps
Ω: ohm, ohms
Pa: pascal, pascals
kPa: kilopascal, kilopascals
Hz: hertz
K: kelvin, kelvins
mol: mole, moles
C: coulomb, coulombs
F: farad, farads
T: tesla, teslas
rad: radian, radians
km/h: kph, kmh
mi/h: mph
"""
_NAMES: Final = {
    spelling.strip(): name
    for name, _, spellings in (line.partition(": ") for line in _TABLE.strip().splitlines())
    for spelling in (name, *spellings.split(","))
}
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
    """The unit's name: "km/h" for "km per hour"; None for a text that is no unit.

    Things that are counted are units too: "red apples" becomes "apple red", sorted and in the
    singular. Single letters are units only where the table has them.
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
    """Whether two names mean one unit; a word more ("red apples", "apples") makes no other."""
    if one == other or {one, other} in _EITHER:
        return True
    if any("/" in name or _known(name) for name in (one, other)):
        return False
    words, others = set(one.split()), set(other.split())
    return words <= others or others <= words


def is_symbol(name: str) -> bool:
    """Whether the table has a unit of this name, powers of it included; nouns are not there."""
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
    """Nouns that are counted, in the singular and sorted; None for anything else."""
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

"""Figures of a column; empty values are passed over."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gridfile.errors import GridError
from gridfile.types import Value


def numbers_of(values: Iterable[Value]) -> list[int | float]:
    """The values that are there. Raises GridError for one that is no number."""
    found: list[int | float] = []
    for value in values:
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise GridError(f"{value!r} is no number")
        found.append(value)
    return found


def mean(values: Iterable[Value]) -> float | None:
    """The mean, or None of nothing."""
    numbers = numbers_of(values)
    return sum(numbers) / len(numbers) if numbers else None


def median(values: Iterable[Value]) -> float | None:
    """The middle value, or the mean of the two in the middle; None of nothing."""
    return quantile(values, 0.5)


def quantile(values: Iterable[Value], part: float) -> float | None:
    """The value below which that part (0 to 1) of the values lies, between two in proportion.

    None of nothing. Raises GridError for a part outside 0 to 1.
    """
    if not 0 <= part <= 1:
        raise GridError(f"a quantile is from 0 to 1: {part}")
    numbers = sorted(numbers_of(values))
    if not numbers:
        return None
    place = part * (len(numbers) - 1)
    below = math.floor(place)
    above = min(below + 1, len(numbers) - 1)
    return numbers[below] + (numbers[above] - numbers[below]) * (place - below)


def spread(values: Iterable[Value]) -> float | None:
    """The standard deviation of a sample; None of fewer than two values."""
    numbers = numbers_of(values)
    if len(numbers) < 2:
        return None
    centre = sum(numbers) / len(numbers)
    squares = sum((number - centre) ** 2 for number in numbers)
    return math.sqrt(squares / (len(numbers) - 1))


def histogram(values: Iterable[Value], bins: int = 5) -> list[tuple[float, float, int]]:
    """(from, to, how many) of equally wide bins; the last one includes its end.

    One bin where all values are equal, none where there are none. Raises GridError below one bin.
    """
    if bins < 1:
        raise GridError(f"{bins} bins")
    numbers = numbers_of(values)
    if not numbers:
        return []
    low, high = min(numbers), max(numbers)
    if low == high:
        return [(float(low), float(high), len(numbers))]
    width = (high - low) / bins
    counts = [0] * bins
    for number in numbers:
        counts[min(int((number - low) / width), bins - 1)] += 1
    return [(low + width * i, low + width * (i + 1), count) for i, count in enumerate(counts)]


def ranks(values: Iterable[Value]) -> list[int | None]:
    """The place of each value, the largest being 1; equal ones share the better place."""
    values = list(values)
    ordered = sorted(numbers_of(values), reverse=True)
    return [None if value is None else ordered.index(value) + 1 for value in values]

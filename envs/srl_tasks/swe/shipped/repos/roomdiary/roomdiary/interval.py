"""Intervals of whole numbers, half open, and sets of them as sorted lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from roomdiary.errors import TimeError


@dataclass(frozen=True, order=True)
class Interval:
    """From start up to, and without, end. Raises TimeError where it would be empty."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise TimeError(f"an interval from {self.start} to {self.end} is empty")

    def __repr__(self) -> str:
        return f"Interval({self.start}, {self.end})"

    def __len__(self) -> int:
        return self.end - self.start

    def __contains__(self, moment: int) -> bool:
        return self.start <= moment < self.end

    def overlaps(self, other: Interval) -> bool:
        """Whether they have a moment in common; following one another is not overlapping."""
        return self.start < other.end and other.start < self.end

    def touches(self, other: Interval) -> bool:
        """Whether they overlap, or one begins where the other ends."""
        return self.start <= other.end and other.start <= self.end

    def covers(self, other: Interval) -> bool:
        """Whether all of the other is inside."""
        return self.start <= other.start and other.end <= self.end

    def common(self, other: Interval) -> Interval | None:
        """The part that both have, or None."""
        if not self.overlaps(other):
            return None
        return Interval(max(self.start, other.start), min(self.end, other.end))

    def shifted(self, by: int) -> Interval:
        """The interval so much later."""
        return Interval(self.start + by, self.end + by)


def merge(intervals: Iterable[Interval], gap: int = 0) -> list[Interval]:
    """The intervals in order, those joined that touch or have no more than `gap` between them."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start - merged[-1].end <= gap:
            last = merged[-1]
            merged[-1] = Interval(last.start, max(last.end, interval.end))
        else:
            merged.append(interval)
    return merged


def subtract(intervals: Iterable[Interval], taken: Iterable[Interval]) -> list[Interval]:
    """What is left of the intervals without those taken, in order and merged."""
    left = merge(intervals)
    for hole in merge(taken):
        left = [part for interval in left for part in _without(interval, hole)]
    return left


def gaps(intervals: Iterable[Interval], within: Interval) -> list[Interval]:
    """What the intervals leave free of another one."""
    return subtract([within], intervals)


def intersect(one: Iterable[Interval], other: Iterable[Interval]) -> list[Interval]:
    """What both sets cover, in order and merged."""
    others = merge(other)
    parts = [first.common(second) for first in merge(one) for second in others]
    return [part for part in parts if part is not None]


def total_minutes(intervals: Iterable[Interval]) -> int:
    """How much the intervals cover; what several cover counts once."""
    return sum(len(interval) for interval in merge(intervals))


def _without(interval: Interval, hole: Interval) -> list[Interval]:
    if not interval.overlaps(hole):
        return [interval]
    parts = []
    if interval.start < hole.start:
        parts.append(Interval(interval.start, hole.start))
    if hole.end < interval.end:
        parts.append(Interval(hole.end, interval.end))
    return parts

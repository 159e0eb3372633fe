"""Time limits, checked in one place."""

from __future__ import annotations

from typing import Final

from srl_env.errors import BadOption

MOST_S: Final = 7 * 24 * 3600
"""The longest time limit: a week. Longer ones overflow what the kernel's timers take."""


def check_seconds(name: str, value: object, least: float = 0.0) -> float:
    """The time limit ``value`` in seconds.

    Raises ``BadOption``, with the option's name, unless it is a number above 0, at least ``least``
    and at most ``MOST_S``.
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    if 0 < number <= MOST_S and number >= least:  # false for nan
        return number
    bound = f"at least {least:g}" if least else "above 0"
    raise BadOption(f"{name} must be seconds, {bound} and at most {MOST_S:,}; got {value!r}")

"""The table of kinds of bugs, which the modules beside this one fill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from srl_env.swe.builder.source import Edit, Site

Edits = Iterator[tuple[Edit, ...]]
Kind = Callable[[Site], Edits]

KINDS: Final[dict[str, Kind]] = {}


def kind(function: Kind) -> Kind:
    """Enters a function into ``KINDS`` under its own name."""
    KINDS[function.__name__] = function
    return function

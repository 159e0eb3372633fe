"""How a number changed over a stage, as a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_PARTS = 5


def change(what: str, values: Sequence[float]) -> str:
    """How a number moved from the first fifth of its values to the last.

    It moved if the difference exceeds twice its standard error, which is estimated from the
    differences of neighbouring values, so that a slow trend hardly counts as noise.
    """
    if len(values) < 2:
        return f"{what} was {values[0]:.3g} in the only update" if values else f"{what} is unknown"
    size = max(1, len(values) // _PARTS)
    first, last = float(np.mean(values[:size])), float(np.mean(values[-size:]))
    error = float(np.sqrt(np.mean(np.diff(values) ** 2) / size))
    verb = "did not change beyond its noise"
    if abs(last - first) > 2 * error:
        verb = "rose" if last > first else "fell"
    of = "update" if size == 1 else f"{size} updates"
    return (
        f"{what} {verb} ({first:.3g} in the first {of}, {last:.3g} in the last, of {len(values)})"
    )

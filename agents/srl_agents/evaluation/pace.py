"""How many episodes a policy is shown at once, by how long it takes to answer."""

from __future__ import annotations

import math

ROUND_S = 30.0
"""A round takes at most about so long, unless fewer episodes would not make it shorter."""


class Pace:
    """A number of rows that grows while a policy is fast, up to ``most``, and shrinks if not.

    A fast policy works best on many rows. A slow one answers all of them late: with fewer rows
    some episodes are finished, and saved, while others have not begun.
    """

    def __init__(self, most: int) -> None:
        self.rows, self._most = 1, most
        self._cost_before = math.inf

    def saw(self, rows: int, seconds: float) -> None:
        """Chooses the next round's rows after a round; one that was not full says nothing."""
        if rows != self.rows:
            return
        cost = max(seconds, 1e-9) / rows
        self.rows = min(self._most, next_rows(rows, seconds, cost / self._cost_before))
        if self.rows != rows:
            self._cost_before = cost


def next_rows(rows: int, seconds: float, cost_ratio: float) -> int:
    """How many rows the next round has.

    seconds: of the round with ``rows``. cost_ratio: the seconds a row takes, as a share of those
    in the last round with another number of rows; 0 where there was none. Rows are added while a
    round is short, and while more of them cost hardly more time, as on a GPU.
    """
    if seconds <= ROUND_S / 4 or cost_ratio <= 0.6:
        return rows * (4 if seconds <= ROUND_S / 4 or 0 < cost_ratio <= 0.4 else 2)
    return max(1, rows // 2) if seconds > ROUND_S else rows

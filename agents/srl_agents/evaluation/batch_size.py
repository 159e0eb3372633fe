"""How many episodes a policy sees at once, adapted to how long it takes to answer."""

from __future__ import annotations

import math

ROUND_S = 30.0
"""A round takes at most about this long, unless fewer episodes would not shorten it."""


class BatchSize:
    """A number of rows that grows up to ``most`` while a policy is fast, and shrinks otherwise.

    A fast policy works best on many rows. With a slow policy, fewer rows mean that some episodes
    are finished and saved before others start.
    """

    def __init__(self, most: int) -> None:
        self.rows, self._most = 1, most
        self._last_cost = math.inf

    def update(self, rows: int, seconds: float) -> None:
        """Chooses the rows of the next round after a round. A partly filled round is ignored."""
        if rows != self.rows:
            return
        cost = max(seconds, 1e-9) / rows
        self.rows = min(self._most, next_rows(rows, seconds, cost / self._last_cost))
        if self.rows != rows:
            self._last_cost = cost


def next_rows(rows: int, seconds: float, cost_ratio: float) -> int:
    """The number of rows of the next round.

    seconds: duration of the round with ``rows``. cost_ratio: seconds per row divided by those of
    the last round with another number of rows; 0 if there was none. Rows are added while a round is
    short, and while more rows take hardly more time, as on a GPU.
    """
    if seconds <= ROUND_S / 4 or cost_ratio <= 0.6:
        return rows * (4 if seconds <= ROUND_S / 4 or 0 < cost_ratio <= 0.4 else 2)
    return max(1, rows // 2) if seconds > ROUND_S else rows

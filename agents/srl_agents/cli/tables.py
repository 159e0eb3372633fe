"""What ``rescore``, ``difficulty``, ``monitor`` and ``probe`` show. Nothing is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from srl_agents.evaluation.difficulty import BANDS, Difficulty
from srl_agents.evaluation.monitors import MONITORS
from srl_agents.evaluation.probe import Probe
from srl_agents.evaluation.statistics import Estimate


def rescore_table(
    policy: str,
    old: Mapping[str, Estimate],
    new: Mapping[str, Estimate],
    changed: Mapping[str, int],
) -> Table:
    """Scores before and after, and how many verdicts changed."""
    grid = _table(f"{policy}, judged again", "score", "before", "after")
    for name in dict.fromkeys([*old, *new]):
        grid.add_row(name, _shown(old.get(name)), _shown(new.get(name)))
    for name, count in changed.items():
        grid.add_row(name, "", f"{count:,} episodes")
    return grid


def difficulty_table(found: Difficulty) -> Table:
    """How many problems are in each band."""
    grid = _table(f"{found.source}, by {found.policy}", "band", "problems", "share", "pass@1")
    for band in BANDS:
        rated = found.of([band])
        rates = [one.pass_rate for one in rated]
        if rated:
            between = "" if band == "unknown" else f"{min(rates):.2f} … {max(rates):.2f}"
            share = f"{len(rated) / len(found.rated):.1%}"
            grid.add_row(band, f"{len(rated):,}", share, between)
    return grid


def monitor_table(found: Mapping[str, Mapping[str, Estimate]]) -> Table:
    """A column for each evaluation, a row for each monitor."""
    grid = _table("signs of shortcuts, per cent", "monitor", *found)
    grid.add_column("what it is")
    for name, monitor in MONITORS.items():
        cells = [_shown(estimates.get(name), 100) for estimates in found.values()]
        if any(cells):
            grid.add_row(name, *cells, monitor.about)
    return grid


def probe_table(policy: str, found: Sequence[Probe]) -> Table:
    """A row for each share of the questions that was shown."""
    heads = ("shown", "word for word %", "similarity", "with another's rest", "above that")
    grid = _table(f"{policy} completes questions", *heads)
    for one in found:
        numbers = one.estimates()
        cells = [_shown(numbers["exact"], 100)]
        cells += [_shown(numbers[name]) for name in ("similarity", "other", "above")]
        grid.add_row(f"{one.share:.0%}", *cells)
    return grid


def _table(title: str, first: str, *others: str) -> Table:
    grid = Table(title=title)
    grid.add_column(first)
    for head in others:
        grid.add_column(head, justify="right")
    return grid


def _shown(found: Estimate | None, scale: float = 1) -> str:
    if found is None:
        return ""
    low, high = scale * found.low, scale * found.high
    return f"{scale * found.value:.3g} [{low:.3g}, {high:.3g}]"

"""Tables of evaluations and of their analyses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from srl_agents.evaluation.contrasts import TITLES

if TYPE_CHECKING:
    from srl_agents.evaluation.difficulty import Difficulty
    from srl_agents.evaluation.measures import Comparison
    from srl_agents.evaluation.probe import Probe
    from srl_agents.evaluation.scoring import EvalResult
    from srl_agents.evaluation.statistics import Estimate

_NO_FRACTIONS = {
    "steps": "steps of a rollout",
    "tokens": "tokens of a rollout",
    "entropy": "entropy, nats per token",
}
_TITLES = TITLES | {
    "format": "steps in the right format",
    "truncated": "steps truncated at the token limit",
    **_NO_FRACTIONS,
}


def rescore_table(
    policy: str,
    old: Mapping[str, Estimate],
    new: Mapping[str, Estimate],
    changed: Mapping[str, int],
) -> Table:
    """Scores before and after, and how many verdicts changed."""
    grid = _table(f"{policy}, judged again", "score", "before", "after")
    for name in dict.fromkeys([*old, *new]):
        grid.add_row(name, _cell(old.get(name)), _cell(new.get(name)))
    for name, count in changed.items():
        grid.add_row(name, "", f"{count:,} episodes")
    return grid


def measure_table(found: Comparison) -> Table:
    """A row for each measure: its mean, and how it agrees with the verdict and the others."""
    grid = _table(
        f"{len(found.steps):,} steps of {len({s.episode for s in found.steps}):,} rollouts,"
        f" {sum(found.correct.values()):,} of them correct",
        "measure",
        "mean",
        "AUC of rollouts",
        "… of one problem",
        "AUC of steps",
        *(f"with {name}" for name in found.measures),
    )
    for one in found.measures:
        pairs = ((other, found.correlations(one, other)) for other in found.measures)
        cells = ("" if one == other else _correlated(r, rho) for other, (r, rho) in pairs)
        mean = found.values(one).mean() if found.steps else float("nan")
        rates = (found.auc(one), found.auc_within(one), found.step_auc(one))
        agreement = ("–" if rate != rate else f"{rate:.2f}" for rate in rates)
        grid.add_row(one, f"{mean:.3f}", *agreement, *cells)
    return grid


def _correlated(r: float, rho: float) -> str:
    """Both correlations; a dash if one of the measures is constant."""
    return "–" if math.isnan(r) else f"{r:.2f} (ranks {rho:.2f})"


def disagreement_table(found: Comparison, one: str, other: str, count: int = 5) -> Table:
    """The steps that two measures rank most differently."""
    grid = _table(f"{one} and {other} disagree most", one, other, "step", "expert's step")
    for step in found.disagreements(one, other, count):
        texts = (" ".join(text.split()) for text in (step.action, step.expert_action))
        values = (f"{step.values[name]:.2f}" for name in (one, other))
        grid.add_row(*values, *(escape(shorten(text, 60, placeholder=" …")) for text in texts))
    return grid


def difficulty_table(found: Difficulty) -> Table:
    """The number of problems in each band."""
    from srl_agents.evaluation.difficulty import BANDS

    grid = _table(f"{found.source}, by {found.policy}", "band", "problems", "fraction", "pass@1")
    for band in BANDS:
        rates = found.pass_rates[found.of([band])]
        if len(rates):
            span = "" if band == "unknown" else f"{rates.min():.2f} … {rates.max():.2f}"
            fraction = len(rates) / len(found.problem_ids)
            grid.add_row(band, f"{len(rates):,}", f"{fraction:.1%}", span)
    return grid


def monitor_table(found: Mapping[str, Mapping[str, Estimate]]) -> Table:
    """A column for each evaluation, a row for each monitor."""
    from srl_agents.evaluation.monitors import MONITORS

    grid = _table("signs of shortcuts, per cent", "monitor", *found)
    grid.add_column("what it is")
    for name, (about, _) in MONITORS.items():
        cells = [_cell(estimates.get(name), 100) for estimates in found.values()]
        if any(cells):
            grid.add_row(name, *cells, about)
    return grid


def probe_table(policy: str, found: Sequence[Probe]) -> Table:
    """A row for each fraction of the questions."""
    heads = ("shown", "word for word %", "similarity", "with another's rest", "above that")
    grid = _table(f"{policy} completes questions", *heads)
    for one in found:
        numbers = one.estimates()
        cells = [_cell(numbers["exact"], 100)]
        cells += [_cell(numbers[name]) for name in ("similarity", "other", "above")]
        grid.add_row(f"{one.fraction:.0%}", *cells)
    return grid


def evaluation_table(result: EvalResult) -> Table:
    """The scores of an evaluation with their intervals; fractions in per cent."""
    count = len(result.problem_ids)
    title = f"{result.policy} on {count} problems of {result.source}"
    grid = _table(title, "score", "value", "95 % interval")
    grid.caption = "intervals over the problems, one policy"
    for name, found in result.estimates().items():
        title, scale = _title(name)
        if name == "pass@1":
            title = f"pass@1 (avg@{result.settings.get('rollouts', 'k')}) %"
        low, high = scale * found.low, scale * found.high
        digits = 2 if name == "entropy" else 1
        value, span = f"{scale * found.value:.{digits}f}", f"{low:.{digits}f} … {high:.{digits}f}"
        grid.add_row(title, value, span)
    for kind, count in result.failures.items():
        grid.add_row(f"failed: {kind}", str(count), f"of {result.episodes} episodes")
    if faults := result.policy_faults:
        grid.add_row("policy faults", str(faults), f"of {result.episodes} episodes")
    for note in result.notes:
        grid.add_row("note", "", note)
    if used := result.usage:
        # A resumed evaluation counts from 0.
        retries = f"{used['retries']:.0f} were retries"
        grid.add_row("requests since start or --resume", f"{used['requests']:.0f}", retries)
        tokens = used["prompt_tokens"] + used["completion_tokens"]
        cost = f"cost {used['cost']:.4f}" if used["cost"] else ""
        grid.add_row("tokens of these requests", f"{tokens:.0f}", cost)
    return grid


def gain_table(gains: Mapping[str, Estimate]) -> Table:
    """The gain of a chooser for each score; fractions in percentage points."""
    grid = _table("gain of choosing, on the same problems", "score", "gain", "95 % interval")
    for name, found in gains.items():
        title, scale = _title(name)
        interval = f"{scale * found.low:+.1f} … {scale * found.high:+.1f}"
        grid.add_row(title, f"{scale * found.value:+.1f}", interval)
    return grid


def _table(title: str, first: str, *others: str) -> Table:
    grid = Table(title=title)
    grid.add_column(first)
    for head in others:
        grid.add_column(head, justify="right")
    return grid


def _cell(found: Estimate | None, scale: float = 1) -> str:
    if found is None:
        return ""
    low, high = scale * found.low, scale * found.high
    return f"{scale * found.value:.3g} [{low:.3g}, {high:.3g}]"


def _title(name: str) -> tuple[str, float]:
    """A score's title, and the factor of its unit."""
    title = _TITLES.get(name, name)
    return (title, 1.0) if name in _NO_FRACTIONS else (f"{title} %", 100.0)

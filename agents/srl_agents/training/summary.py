"""What a run learned, or why it learned nothing, as one sentence. Pure functions of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from srl_agents.methods.stages import GRPO, Stage
from srl_agents.objectives.no_signal import why_no_group

_PART = 5  # the first and the last fifth of a stage's updates are compared


def what_was_learned(updates: Sequence[dict[str, Any]], stages: Sequence[Stage]) -> str:
    """What each stage learned, from the lines of ``metrics.jsonl`` that are updates."""
    found = [(stage, [u for u in updates if u.get("stage") == stage.name]) for stage in stages]
    said = [_of_stage(stage, rows) for stage, rows in found if rows]
    return f"What was learned: {'; '.join(said)}." if said else "Nothing was learned: no update."


def _of_stage(stage: Stage, updates: Sequence[dict[str, Any]]) -> str:
    name, objective = f"stage {stage.name!r}", stage.objective
    if not isinstance(objective, GRPO):
        return f"{name}: {_change('the loss', [u['loss'] for u in updates if 'loss' in u])}"
    sampled = sum(u.get("groups/sampled", 0) for u in updates)
    kept = sum(u.get("groups/trained", 0) for u in updates)
    if not kept:
        return f"{name}: nothing, as no group was kept. {why_no_group(updates, objective)}"
    parts = [
        _change(f"the mean reward {objective.reward_mode!r}", _values(updates, "reward")),
        f"{kept:.0f} of {sampled:.0f} groups kept",
    ]
    success = _values(updates, "success")
    if success:
        right = _change("the share of correct answers", success)
        parts.insert(1, right if any(success) else "no episode was correct")
    return f"{name}: {', '.join(parts)}"


def _values(updates: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [update[name] for update in updates if name in update]


def _change(what: str, values: Sequence[float]) -> str:
    """How a number moved from the first fifth of the updates to the last.

    It moved where the difference is above twice its standard error, which comes from the
    differences of neighbouring updates: a slow trend is hardly counted as noise.
    """
    if len(values) < 2:
        return f"{what} was {values[0]:.3g} in the only update" if values else f"{what} is unknown"
    size = max(1, len(values) // _PART)
    first, last = float(np.mean(values[:size])), float(np.mean(values[-size:]))
    error = float(np.sqrt(np.mean(np.diff(values) ** 2) / size))
    verb = "did not change beyond its noise"
    if abs(last - first) > 2 * error:
        verb = "rose" if last > first else "fell"
    of = "update" if size == 1 else f"{size} updates"
    return (
        f"{what} {verb} ({first:.3g} in the first {of}, {last:.3g} in the last, of {len(values)})"
    )

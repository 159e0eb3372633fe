"""Why updates trained on no group, as a sentence from their numbers.

A run whose groups never differ ends without an error and has learned nothing. The numbers of its
updates show why, and the reason shows what to change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from srl_agents.objectives.metrics import Metrics
from srl_env.rewards import OF_TRAINING

_MOSTLY = 0.5
_MEANS = ("format_fraction", "truncated_fraction", "success", "groups/std")
_TOTALS = ("episodes", "failures", "policy_faults", "groups/sampled")


class Settings(Protocol):
    """The settings that the reasons mention."""

    @property
    def reward_mode(self) -> str: ...

    @property
    def measure(self) -> str | None: ...

    @property
    def max_tokens(self) -> int: ...

    @property
    def min_std(self) -> float: ...


def why_no_group(updates: Sequence[Metrics], settings: Settings, form: str = "") -> str:
    """Why none of these updates trained on a group, what to do, and the numbers behind it.

    updates: their metrics, at least one, in a row. form: what the format asks for, in words.
    """
    total = {name: sum(update.get(name, 0.0) for update in updates) for name in _TOTALS}
    values = {name: [u[name] for u in updates if name in u] for name in _MEANS}
    mean = {name: sum(found) / len(found) for name, found in values.items() if found}
    ends = [u[f"groups/reward_{end}"] for u in updates for end in ("min", "max") if _END in u]
    if not ends:
        reason = _without_groups(updates, total)
    elif min(ends) == max(ends):
        reason = _all_equal(ends[0], mean, settings, form)
    else:
        reason = _too_alike(min(ends), max(ends), mean.get("groups/std", 0.0), settings)
    truncated = mean.get("truncated_fraction", 0.0)
    if truncated >= _MOSTLY:
        reason += (
            f" {truncated:.0%} of the completions were truncated at objective.max_tokens ="
            f" {settings.max_tokens}: raise it, or use a format that ends a step."
        )
    return f"{reason} ({_numbers(total, mean, ends)})"


_END = "groups/reward_min"


def _without_groups(updates: Sequence[Metrics], total: Mapping[str, float]) -> str:
    """Too few members were left to compare."""
    if not total["failures"]:
        return "There was no group with two members to compare: episodes had no steps."
    kinds: dict[str, float] = {}
    for update in updates:
        for name, count in update.items():
            if name.startswith("failures/"):
                kinds[name] = kinds.get(name, 0) + count
    named = ", ".join(
        f"{count:.0f} {name.partition('/')[2]}"
        for name, count in sorted(kinds.items(), key=lambda item: -item[1])
    )
    return (
        f"Failures left no group with two members to compare: {named or 'of no kind'}."
        " Nothing is learned from failed episodes; fix what fails, e.g. a server, a sandbox or"
        " a time limit."
    )


def _all_equal(reward: float, mean: Mapping[str, float], settings: Settings, form: str) -> str:
    """All rewards are the same number."""
    mode = settings.reward_mode
    if mean.get("format_fraction") == 0:
        wants = f", which asks for: {form!r}" if form else ""
        reason = (
            f": no completion follows the environment's format{wants}. Choose a format that this"
            " model can follow, or teach it first with method 'form'."
        )
    elif mean.get("success") == 0 and reward == 0:
        reason = (
            f": no episode was correct. These problems are too hard for the policy with the reward"
            f" {mode!r} alone. Begin with step rewards (method 'srl-rlvr'), or train on easier"
            " problems (srl-env difficulty)."
        )
    elif reward == 1 and mean.get("success") != 0:
        reason = (
            ": every completion already has the best reward. These problems are too easy to learn"
            " from; train on harder ones (srl-env difficulty)."
        )
    elif reward == 0 and settings.measure == OF_TRAINING:
        reason = (
            ": no thought changed how likely the expert's step is. Use a format in which the model"
            " writes thoughts, or another measure."
        )
    else:
        reason = (
            f", whatever was written, so the reward {mode!r} carries no information. Choose another"
            " reward mode, or other problems."
        )
    return f"All rewards are {reward:g}{reason}"


def _too_alike(low: float, high: float, std: float, settings: Settings) -> str:
    """Rewards differ, but not within a group."""
    if std == 0:
        return (
            f"The completions of each group have the same reward, though groups differ ({low:g} to"
            f" {high:g}): what is sampled for one start is too much alike. Raise"
            " objective.temperature or objective.group_size."
        )
    return (
        f"The rewards of a group differ too little: their std is {std:.2g} on average, and a group"
        f" is trained on above objective.min_std = {settings.min_std:g}. Lower it, or raise"
        " objective.temperature or objective.group_size."
    )


def _numbers(total: Mapping[str, float], mean: Mapping[str, float], ends: Sequence[float]) -> str:
    titles = zip(_MEANS, ("correct format", "truncated", "correct"), strict=False)
    parts = [f"{title} {mean[name]:.0%}" for name, title in titles if name in mean]
    if ends:
        low, high = min(ends), max(ends)
        parts.append(f"rewards {low:g}" if low == high else f"rewards {low:g} to {high:g}")
    parts.append(f"{total['groups/sampled']:.0f} groups")
    parts.append(f"{total['failures']:.0f} of {total['episodes']:.0f} episodes failed")
    if total["policy_faults"]:
        parts.append(f"{total['policy_faults']:.0f} policy faults")
    return ", ".join(parts)

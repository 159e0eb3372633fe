"""Why updates kept no group, as a sentence from their numbers. Pure functions.

A run whose groups never differ ends without an error and has learned nothing. The numbers of its
updates say why, and the reason says what to change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from srl_agents.methods.stages import GRPO
from srl_agents.objectives.metrics import Metrics

_MOSTLY = 0.5


def why_no_group(updates: Sequence[Metrics], objective: GRPO, form: str = "") -> str:
    """Why none of these updates kept a group, what to do about it, and the numbers behind it.

    updates: their metrics, at least one, in a row. form: what the format asks for, in words.
    """
    total, share = _totals(updates), _shares(updates)
    low = min((u["groups/reward_min"] for u in updates if "groups/reward_min" in u), default=None)
    high = max((u["groups/reward_max"] for u in updates if "groups/reward_max" in u), default=None)
    if low is None or high is None:
        reason = _without_groups(updates, total)
    elif low == high:
        reason = _all_equal(low, share, objective, form)
    else:
        reason = _too_alike(low, high, share.get("groups/std", 0.0), objective)
    truncated = share.get("truncated_fraction", 0.0)
    if truncated >= _MOSTLY:
        reason += (
            f" {truncated:.0%} of the completions were cut at objective.max_tokens ="
            f" {objective.max_tokens}: raise it, or use a format that ends a step."
        )
    return f"{reason} ({_numbers(total, share, low, high)})"


def _without_groups(updates: Sequence[Metrics], total: Mapping[str, float]) -> str:
    """Too few members were left to compare."""
    kinds = Counter[str]()
    for update in updates:
        kinds.update({k: int(v) for k, v in update.items() if k.startswith("failures/")})
    named = ", ".join(f"{count} {kind.partition('/')[2]}" for kind, count in kinds.most_common())
    if total["failures"]:
        return (
            f"Failures left no group with two members to compare: {named or 'of no kind'}."
            " Nothing is learned from failed episodes; fix what fails, e.g. a server, a sandbox or"
            " a time limit."
        )
    return "There was no group with two members to compare: episodes had no steps."


def _all_equal(reward: float, share: Mapping[str, float], objective: GRPO, form: str) -> str:
    """All rewards are the same number."""
    said = f"All rewards are {reward:g}"
    if share.get("format_fraction") == 0:
        wants = f", which asks for: {form!r}" if form else ""
        return (
            f"{said}: no completion keeps the form of the environment's format{wants}. Choose a"
            " format that this model can keep, or teach it first with method 'sft'."
        )
    if share.get("success") == 0 and reward == 0:
        return (
            f"{said}: no episode was correct. These problems are too hard for the policy with the"
            f" reward {objective.reward_mode!r} alone. Begin with step rewards (method"
            " 'srl-rlvr'), or train on easier problems (srl-env difficulty)."
        )
    if reward == 1 and share.get("success") != 0:
        return (
            f"{said}: what is written is already as good as can be. These problems are too easy to"
            " learn from; train on harder ones (srl-env difficulty)."
        )
    return (
        f"{said}, whatever was written, so the reward {objective.reward_mode!r} says nothing about"
        " it. Choose another reward mode, or other problems."
    )


def _too_alike(low: float, high: float, std: float, objective: GRPO) -> str:
    """Rewards differ, but not within a group."""
    if std == 0:
        return (
            f"The completions of each group have the same reward, though groups differ ({low:g} to"
            f" {high:g}): what is sampled for one start is too much alike. Raise"
            " objective.temperature or objective.group_size."
        )
    return (
        f"The rewards of a group differ too little: their std is {std:.2g} on average, and a group"
        f" is kept above objective.min_std = {objective.min_std:g}. Lower it, or raise"
        " objective.temperature or objective.group_size."
    )


def _totals(updates: Sequence[Metrics]) -> dict[str, float]:
    names = ("episodes", "failures", "policy_faults", "groups/sampled")
    return {name: sum(update.get(name, 0.0) for update in updates) for name in names}


def _shares(updates: Sequence[Metrics]) -> dict[str, float]:
    """The mean of each number over the updates that have it."""
    found: dict[str, float] = {}
    for name in ("format_fraction", "truncated_fraction", "success", "groups/std"):
        values = [update[name] for update in updates if name in update]
        if values:
            found[name] = sum(values) / len(values)
    return found


def _numbers(
    total: Mapping[str, float], share: Mapping[str, float], low: float | None, high: float | None
) -> str:
    titles = {
        "format_fraction": "form kept",
        "truncated_fraction": "truncated",
        "success": "correct",
    }
    parts = [f"{title} {share[name]:.0%}" for name, title in titles.items() if name in share]
    if low is not None and high is not None:
        parts.append(f"rewards {low:g}" if low == high else f"rewards {low:g} to {high:g}")
    parts.append(f"{total['groups/sampled']:.0f} groups")
    parts.append(f"{total['failures']:.0f} of {total['episodes']:.0f} episodes failed")
    if total["policy_faults"]:
        parts.append(f"{total['policy_faults']:.0f} policy faults")
    return ", ".join(parts)

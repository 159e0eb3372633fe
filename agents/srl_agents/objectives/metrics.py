"""The numbers of one update, from its episodes and groups.

Names with a slash are families: ``reward/similarity`` is a part of the reward,
``failures/VerifierTimeout`` a kind of failure. A fraction is between 0 and 1. Numbers of things
that did not occur (no verdicts, no step checker) are absent rather than 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

from srl_agents.objectives.groups import Group
from srl_env.rollout import Episode

Metrics = dict[str, float]


def episode_metrics(episodes: Sequence[Episode]) -> Metrics:
    """Rewards and their parts, success, format, legality, lengths and failures.

    reward: mean per step if each step has a reward of its own (expert continuation), else per
    episode. success: fraction of verdicts that are correct. legal_fraction, format_fraction: of
    steps. length: tokens of a completion. truncated_fraction: completions that reached the token
    limit. steps: steps of an episode. failures: episodes lost to infrastructure failures, which
    count nowhere else. policy_faults: episodes whose policy made judging it fail; they are wrong.
    """
    sound = [episode for episode in episodes if episode.failure is None]
    steps = [step for episode in sound for step in episode.steps]
    parts: defaultdict[str, list[float]] = defaultdict(list)
    for step in steps:
        for name, value in step.reward_parts.items():
            parts[f"reward/{name}"].append(value)
    truncated = (step.generation.finish_reason == "length" for step in steps)
    kinds = Counter(e.failure["type"] for e in episodes if e.failure is not None)
    return {
        "episodes": float(len(episodes)),
        "failures": float(len(episodes) - len(sound)),
        **{f"failures/{kind}": float(count) for kind, count in kinds.items()},
        "policy_faults": float(sum(e.policy_fault is not None for e in sound)),
        **_mean("reward", (_reward(episode) for episode in sound)),
        **{name: sum(values) / len(values) for name, values in sorted(parts.items())},
        **_mean("success", (e.verdict["correct"] for e in sound if e.verdict is not None)),
        **_mean("format_fraction", (step.format_ok for step in steps)),
        **_mean("legal_fraction", (step.legal for step in steps if step.legal is not None)),
        **_mean("length", (step.generation.length for step in steps)),
        **_mean("truncated_fraction", truncated),
        **_mean("steps", (len(episode.steps) for episode in sound)),
    }


_OF_ENVIRONMENT = (
    *("episodes", "failures", "reward", "success", "format_fraction", "legal_fraction"),
    *("truncated_fraction", "length", "steps"),
)


def environment_metrics(episodes: Sequence[Episode]) -> Metrics:
    """{metric/environment: number} where the episodes are of several environments."""
    found: Metrics = {}
    for name in dict.fromkeys(episode.env for episode in episodes if episode.env):
        own = episode_metrics([episode for episode in episodes if episode.env == name])
        found |= {f"{key}/{name}": own[key] for key in _OF_ENVIRONMENT if key in own}
    return found


def group_metrics(groups: Sequence[Group], trained: int, min_std: float) -> Metrics:
    """How much signal the groups carried, and how much of it comes from the format.

    groups/sampled, groups/trained: numbers. groups/informative_fraction: groups whose std exceeds
    ``min_std``, or that are imitated; groups/informative_fraction_in_format: groups whose std would
    exceed it without their format failures. groups/std, groups/std_in_format: means over all.
    groups/reward_min, groups/reward_max: the smallest and the largest reward of a member.
    masked_completions: truncated ones that ``mask_truncated`` keeps out of the loss.
    """
    rewards = [member.reward for group in groups for member in group.sampled]
    ends = {"min": min(rewards), "max": max(rewards)} if rewards else {}
    found = {"groups/sampled": float(len(groups)), "groups/trained": float(trained)}
    if masked := sum(len(member.masked) for group in groups for member in group.members):
        found["masked_completions"] = float(masked)
    for suffix, stds in (
        ("", [group.std for group in groups]),
        ("_in_format", [group.std_in_format for group in groups]),
    ):
        signals = (std > min_std for std in stds)
        if not suffix:
            signals = (group.informative(min_std) for group in groups)
        found |= _mean(f"groups/informative_fraction{suffix}", signals)
        found |= _mean(f"groups/std{suffix}", stds)
    return found | {f"groups/reward_{name}": reward for name, reward in ends.items()}


def expert_metrics(experts: Collection[Episode]) -> Metrics:
    """Of the demonstrations for groups with expert rows: how many, and how many are no use.

    demonstrations/rejected: by the verifier. demonstrations/failures: infrastructure failures.
    """
    if not experts:
        return {}
    return {
        "demonstrations": float(len(experts)),
        "demonstrations/rejected": float(sum(each.correct is False for each in experts)),
        "demonstrations/failures": float(sum(each.failure is not None for each in experts)),
    }


def sampled_tokens(episodes: Iterable[Episode]) -> int:
    """How many tokens the policy wrote."""
    return sum(step.generation.length for e in episodes for step in e.steps)


def _reward(episode: Episode) -> float:
    if episode.continuation == "expert" and episode.steps:
        return episode.total_reward / len(episode.steps)
    return episode.total_reward


def _mean(name: str, values: Iterable[float | bool]) -> Metrics:
    """{name: mean}, or {} if there are no values."""
    found = [float(value) for value in values]
    return {name: sum(found) / len(found)} if found else {}

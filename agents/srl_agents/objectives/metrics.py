"""What one update is reported as: numbers from episodes and groups. Pure functions.

Names with a slash are families: ``reward/similarity`` is a part of the reward,
``failures/VerifierTimeout`` a kind of failure. A share is between 0 and 1. What there was none
of (no verdicts, no step checker) is absent rather than 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from srl_agents.objectives.groups import Group
from srl_env.rollout import Episode, Step

Metrics = dict[str, float]


def episode_metrics(episodes: Sequence[Episode]) -> Metrics:
    """Rewards and their parts, success, format, legality, lengths and failures.

    reward: mean per step where steps are rewarded one by one (expert continuation), else per
    episode; success: share of verdicts that are right; legal_fraction, format_fraction: of steps;
    length: tokens of a completion; truncated_fraction: completions that ran into the token limit;
    steps: steps of an episode; failures: episodes lost to infrastructure failures, which count
    nowhere else; policy_faults: episodes whose policy made judging it fail, which count as wrong.
    """
    sound = [episode for episode in episodes if episode.failure is None]
    steps = [step for episode in sound for step in episode.steps]
    return {
        "episodes": float(len(episodes)),
        "failures": float(len(episodes) - len(sound)),
        **_failures(episodes),
        "policy_faults": float(sum(e.policy_fault is not None for e in sound)),
        **_means("reward", (_reward(episode) for episode in sound)),
        **_parts(steps),
        **_means("success", (e.verdict["correct"] for e in sound if e.verdict is not None)),
        **_means("format_fraction", (step.format_ok for step in steps)),
        **_means("legal_fraction", (step.legal for step in steps if step.legal is not None)),
        **_means("length", (len(step.generation.token_ids) for step in steps)),
        **_means(
            "truncated_fraction", (step.generation.finish_reason == "length" for step in steps)
        ),
        **_means("steps", (len(episode.steps) for episode in sound)),
    }


def group_metrics(groups: Sequence[Group], kept: Sequence[Group], min_std: float) -> Metrics:
    """How much signal the groups carried, and how much of it is the format's.

    groups/sampled, groups/trained: numbers. groups/informative_fraction: groups whose std exceeds
    ``min_std``, of all sampled; groups/informative_fraction_in_format: those that would without
    their format failures. groups/std, groups/std_in_format: means over all.
    groups/reward_min, groups/reward_max: the least and the greatest reward of a member.
    """
    rewards = [member.reward for group in groups for member in group.members]
    ends = {"min": min(rewards), "max": max(rewards)} if rewards else {}
    return {
        "groups/sampled": float(len(groups)),
        "groups/trained": float(len(kept)),
        **_means("groups/informative_fraction", (g.std > min_std for g in groups)),
        **_means(
            "groups/informative_fraction_in_format", (g.std_in_format > min_std for g in groups)
        ),
        **_means("groups/std", (g.std for g in groups)),
        **_means("groups/std_in_format", (g.std_in_format for g in groups)),
        **{f"groups/reward_{name}": reward for name, reward in ends.items()},
    }


def sampled_tokens(episodes: Iterable[Episode]) -> int:
    """How many tokens the policy wrote."""
    return sum(len(step.generation.token_ids) for e in episodes for step in e.steps)


def _reward(episode: Episode) -> float:
    if episode.continuation == "expert" and episode.steps:
        return episode.total_reward / len(episode.steps)
    return episode.total_reward


def _failures(episodes: Iterable[Episode]) -> Metrics:
    kinds = Counter(e.failure["type"] for e in episodes if e.failure is not None)
    return {f"failures/{kind}": float(count) for kind, count in kinds.items()}


def _parts(steps: Iterable[Step]) -> Metrics:
    """The mean of each part of the reward over the steps that have it."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for step in steps:
        for name, value in step.reward_parts.items():
            values[name].append(value)
    return {f"reward/{name}": sum(found) / len(found) for name, found in sorted(values.items())}


def _means(name: str, values: Iterable[float | bool]) -> Metrics:
    """{name: mean}, or {} where there is nothing to take the mean of."""
    found = [float(value) for value in values]
    return {name: sum(found) / len(found)} if found else {}

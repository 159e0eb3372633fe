"""Controls: final answers rewarded by another label than the correct one, group by group.

The label is one of the group's own answers, compared as text. The verdicts stay as they are, and so
does what the environment rewards; only the advantages change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from srl_agents.objectives.choices import Label
from srl_agents.objectives.groups import Group
from srl_env.rollout import Episode


def relabelled(groups: Sequence[Group], episodes: Sequence[Episode], label: Label) -> list[Group]:
    """The groups with a reward of 1 for answers that equal the label, and 0 for all others.

    episodes: those that the groups are of, each with a verdict.
    """
    return [_relabelled(group, episodes, label) for group in groups]


def chosen_label(
    answers: Sequence[str | None], correct: Sequence[bool], label: Label
) -> str | None:
    """The most frequent answer, the first of several; None if there is none.

    label: "majority" counts all answers, "wrong" only those that are not correct.
    Source: Spurious rewards, arXiv:2506.10947, trains on the majority's answer, and on the
    majority's answer where it is wrong.
    """
    pairs = zip(answers, correct, strict=True)
    counts = Counter(a for a, c in pairs if a is not None and not (c and label == "wrong"))
    return counts.most_common(1)[0][0] if counts else None


def _relabelled(group: Group, episodes: Sequence[Episode], label: Label) -> Group:
    verdicts = [episodes[member.episode].verdict or {} for member in group.members]
    answers = [verdict.get("answer") for verdict in verdicts]
    correct = [bool(verdict.get("correct")) for verdict in verdicts]
    right = chosen_label(answers, correct, label)
    members = (
        replace(member, reward=float(answer is not None and answer == right))
        for member, answer in zip(group.members, answers, strict=True)
    )
    return replace(group, members=tuple(members))

"""Controls: rewards by another label, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srl_agents.methods.rlvr import RLVR
from srl_agents.objectives.grpo import GRPO
from srl_agents.objectives.labels import chosen_label
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.errors import BadOption
from srl_env.rollout import Episode
from tests.srl_agents.letters import lines


def episodes(*answers: tuple[str | None, bool]) -> list[Episode]:
    return [
        Episode(
            "p", 0, "rlvr", "policy", "step", (), {"answer": answer, "correct": correct}, None, 0
        )
        for answer, correct in answers
    ]


SAMPLED = episodes(("4", True), ("5", False), ("5", False), ("5", False), ("6", False))


def rewards(label: Any, sampled: list[Episode] = SAMPLED) -> list[float]:
    (group,) = GRPO(label=label).groups(sampled)
    return [member.reward for member in group.members]


def test_the_majority_is_rewarded_whether_it_is_correct_or_not() -> None:
    assert rewards("majority") == [0, 1, 1, 1, 0]
    assert rewards("majority", episodes(("4", True), ("4", True), ("5", False))) == [1, 1, 0]


def test_the_most_frequent_wrong_answer_is_rewarded() -> None:
    sampled = episodes(("4", True), ("4", True), ("5", False))
    assert rewards("wrong", sampled) == [0, 0, 1]
    assert rewards("wrong", episodes(("4", True), ("4", True))) == [0, 0]


def test_episodes_without_an_answer_get_nothing_and_do_not_vote() -> None:
    assert rewards("majority", episodes((None, False), (None, False), ("5", False))) == [0, 0, 1]
    assert rewards("majority", episodes((None, False), (None, False))) == [0, 0]
    assert chosen_label(["6", "5"], [False, False], "majority") == "6"  # the first of several


def test_verdicts_and_the_environments_rewards_stay(tree: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    changes = {"out": str(out), "method": "rlvr", "train": {"objective": {"label": "wrong"}}}
    train(make_config(merged(tree, changes)))
    rollouts = lines(out, "rollouts")
    assert {line["verdict"]["correct"] for line in rollouts} == {True, False}
    for line in rollouts:
        assert line["steps"][0]["reward"] == float(line["verdict"]["correct"])
    found = [(line["verdict"]["correct"], line["signals"][0]["advantage"]) for line in rollouts]
    assert all(advantage <= 0 for correct, advantage in found if correct)
    assert any(advantage > 0 for _, advantage in found)


def test_a_label_needs_answers_of_the_policy() -> None:
    with pytest.raises(BadOption, match="objective.label is for final answers; set objective.con"):
        replace(RLVR, objective=GRPO(reward_mode="srl", label="majority"))

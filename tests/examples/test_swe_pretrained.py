"""The study of a pretrained model: its measures and settings, without a real model."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from examples.swe_pretrained import HELD_OUT, TRAINED, held_out, settings
from srl_agents import ExpertPolicy, make_config


def test_an_expert_has_the_highest_figures() -> None:
    row = held_out(ExpertPolicy(), calls=3, edits=1, tasks=1)
    assert row["in_format"] == row["accepts"] == row["similarity"] == [1.0, 1.0, 1.0]
    assert row["valid_edits"] == row["repaired"] == [1.0, 1.0, 1.0]
    assert (row["calls"], row["edits"], row["tasks"], row["task_calls"]) == (3, 1, 1, 6)


def test_both_arms_train_on_the_same_tasks_for_the_same_tokens(tmp_path: Path) -> None:
    args = Namespace(threads=1, tokens=1000, lr=1e-4, seed=0)
    srl, sft = (make_config(settings(arm, "model", tmp_path / arm, args)) for arm in ("srl", "sft"))
    assert srl.env == sft.env
    assert srl.budget == sft.budget
    assert srl.env.options["repos"] == list(TRAINED)
    assert not set(TRAINED) & set(HELD_OUT)

"""The closing sentence of a training: numbers in, words out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from srl_agents.methods.shipped import get_method
from srl_agents.methods.stages import Method

(SFT,) = get_method("sft").stages
SRL, RLVR = get_method("srl-rlvr").stages


def rows(stage: str, name: str, *values: float, trained: float = 2, **more: float) -> list[Any]:
    """The updates of a stage: one number of each, and 4 groups of which some are trained on."""
    groups = {"groups/sampled": 4.0, "groups/trained": trained}
    return [{"stage": stage, name: value, **groups, **more} for value in values]


UNSOLVED = {
    "success": 0.0,
    "format_fraction": 1.0,
    "groups/reward_min": 0.0,
    "groups/reward_max": 0.0,
    "episodes": 8.0,
}


@pytest.mark.parametrize(
    ("updates", "said"),
    [
        ([], "Nothing was learned: no update."),
        (
            rows("srl", "reward", 0.1, 0.2, 0.3, 0.4, 0.5),
            "What was learned: stage 'srl': the mean reward 'srl' rose (0.1 in the first update,"
            " 0.5 in the last, of 5), 10 of 20 groups trained on.",
        ),
        (
            rows("srl", "reward", 0.5, 0.4, 0.3, 0.2, 0.1),
            "What was learned: stage 'srl': the mean reward 'srl' fell (0.5 in the first update,"
            " 0.1 in the last, of 5), 10 of 20 groups trained on.",
        ),
        (
            # means of the first and last two: 0.1 and 0.2; neighbours differ by 0.2 mostly
            rows("srl", "reward", 0, 0.2, 0, 0.2, 0, 0.2, 0, 0.2, 0.1, 0.3),
            "What was learned: stage 'srl': the mean reward 'srl' did not change beyond its noise"
            " (0.1 in the first 2 updates, 0.2 in the last, of 10), 20 of 40 groups trained on.",
        ),
        (
            rows("srl", "reward", 0.5),
            "What was learned: stage 'srl': the mean reward 'srl' was 0.5 in the only update, 2 of"
            " 4 groups trained on.",
        ),
        (
            rows("rlvr", "reward", 0.25, 0.25, success=0.0),
            "What was learned: stage 'rlvr': the mean reward 'rlvr' did not change beyond its noise"
            " (0.25 in the first update, 0.25 in the last, of 2), no episode was correct, 4 of 8"
            " groups trained on.",
        ),
        (
            rows("sft", "loss", 3, 2.5, 2, 1.5, 1),
            "What was learned: stage 'sft': the loss fell (3 in the first update, 1 in the last, of"
            " 5).",
        ),
    ],
)
def test_the_sentence_says_how_the_numbers_moved(updates: list[Any], said: str) -> None:
    assert Method("m", (SFT, SRL, RLVR)).summary(updates) == said


def test_a_stage_that_trained_on_no_group_says_why_after_what_the_first_learned() -> None:
    updates = rows("srl", "reward", 0.1, 0.2, 0.3, 0.4, 0.5)
    untrained = rows("rlvr", "reward", 0, 0, trained=0, **UNSOLVED)
    said = get_method("srl-rlvr").summary([*updates, *untrained])
    assert "10 of 20 groups trained on; stage 'rlvr': nothing, because no group was" in said
    assert "was trained on. All rewards are 0:" in said
    assert "\n" not in said


def test_what_an_auxiliary_objective_learned_is_said_without_a_trained_group() -> None:
    untrained = rows("rlvr", "reward", 0, 0, trained=0, **UNSOLVED)
    losses = [{"auxiliary/loss": loss} for loss in (3.0, 2.0)]
    updates = [row | loss for row, loss in zip(untrained, losses, strict=True)]
    assert get_method("relift").summary(updates) == (
        "What was learned: stage 'rlvr': no group was trained on; in 2 auxiliary steps the loss"
        " did not change beyond its noise (3 in the first update, 2 in the last, of 2)."
    )


def test_updates_of_an_unknown_stage_say_nothing() -> None:
    other = replace(RLVR, name="other")
    assert Method("m", (other,)).summary(rows("srl", "reward", 1, 2)).startswith("Nothing was")

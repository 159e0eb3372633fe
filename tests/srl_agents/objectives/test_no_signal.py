"""Why updates trained on no group: each cause in numbers, and the sentence that names it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srl_agents.objectives import GRPO
from srl_agents.objectives.metrics import Metrics
from srl_agents.objectives.no_signal import why_no_group


def update(**changes: float) -> Metrics:
    """Four groups of eight: all in form, none truncated, none failed; names with _ for /."""
    numbers = {
        "episodes": 32.0,
        "failures": 0.0,
        "groups/sampled": 4.0,
        "groups/trained": 0.0,
        "groups/std": 0.0,
        "format_fraction": 1.0,
        "truncated_fraction": 0.0,
    }
    return numbers | {name.replace("groups_", "groups/"): value for name, value in changes.items()}


def rewards(low: float, high: float) -> dict[str, float]:
    return {"groups_reward_min": low, "groups_reward_max": high}


SRL, RLVR = GRPO(reward_mode="srl", max_tokens=64, min_std=0.05), GRPO(max_tokens=64)


@pytest.mark.parametrize(
    ("objective", "changes", "said", "numbers"),
    [
        (
            SRL,
            {"format_fraction": 0.0, "truncated_fraction": 0.9, **rewards(-1, -1)},
            [
                "All rewards are -1: no completion follows the environment's format,"
                " which asks for: 'First think.'",
                "Choose a format that this model can follow",
                "90% of the completions were truncated at objective.max_tokens = 64: raise it",
            ],
            "correct format 0%, truncated 90%, rewards -1, 8 groups, 0 of 64 episodes failed",
        ),
        (
            RLVR,
            {"success": 0.0, "truncated_fraction": 0.1, **rewards(0, 0)},
            ["All rewards are 0: no episode was correct", "too hard", "'srl-rlvr'", "difficulty"],
            "correct format 100%, truncated 10%, correct 0%, rewards 0, 8 groups",
        ),
        (
            replace(SRL, measure="log-likelihood"),
            rewards(0, 0),
            ["no thought changed how likely the expert's step is", "a format in which the model"],
            "correct format 100%, truncated 0%, rewards 0",
        ),
        (
            RLVR,
            {"success": 0.0, "truncated_fraction": 1.0, **rewards(0, 0)},
            ["no episode was correct", "100% of the completions were truncated"],
            "truncated 100%, correct 0%",
        ),
        (
            RLVR,
            {"success": 0.0, "format_fraction": 0.0, **rewards(0, 0)},
            ["All rewards are 0: no completion follows"],
            "correct format 0%",
        ),
        (
            RLVR,
            {"success": 1.0, **rewards(1, 1)},
            ["All rewards are 1: every completion already has the best reward", "too easy"],
            "correct 100%, rewards 1",
        ),
        (
            GRPO(reward_mode="mine"),
            {"success": 0.5, **rewards(0.25, 0.25)},
            ["All rewards are 0.25, whatever was written", "'mine' carries no information"],
            "rewards 0.25",
        ),
        (
            RLVR,
            {"success": 0.5, **rewards(0, 1)},
            ["each group have the same reward, though groups differ (0 to 1)", "temperature"],
            "correct 50%, rewards 0 to 1",
        ),
        (
            SRL,
            {"groups_std": 0.012, **rewards(0.2, 0.3)},
            ["their std is 0.012 on average", "above objective.min_std = 0.05. Lower it"],
            "rewards 0.2 to 0.3",
        ),
        (
            RLVR,
            {"failures": 32.0, "groups_sampled": 0.0, "failures/VerifierTimeout": 32.0},
            ["Failures left no group with two members to compare: 64 VerifierTimeout.", "fix what"],
            "0 groups, 64 of 64 episodes failed",
        ),
        (
            RLVR,
            {"groups_sampled": 0.0},
            ["There was no group with two members to compare: episodes had no steps."],
            "0 groups, 0 of 64 episodes failed",
        ),
        (
            RLVR,
            {"success": 0.0, "policy_faults": 3.0, **rewards(0, 0)},
            ["no episode was correct"],
            "6 policy faults",
        ),
    ],
)
def test_the_reason_follows_from_the_numbers(
    objective: GRPO, changes: dict[str, float], said: list[str], numbers: str
) -> None:
    found = why_no_group([update(**changes)] * 2, objective, "First think.")
    for part in said:
        assert part in found
    assert numbers in found.rpartition("(")[2]
    assert "\n" not in found
    if changes.get("truncated_fraction", 0.0) < 0.5:
        assert "max_tokens" not in found


def test_updates_that_differ_are_read_together() -> None:
    some = update(success=0.0, **rewards(0, 0))
    others = update(success=1.0, **rewards(1, 1))
    assert "groups differ (0 to 1)" in why_no_group([some, others], RLVR)


def test_a_format_without_instructions_is_not_quoted() -> None:
    found = why_no_group([update(format_fraction=0.0, **rewards(-1, -1))], SRL, "")
    assert "format. Choose" in found

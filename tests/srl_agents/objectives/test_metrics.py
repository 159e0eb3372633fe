"""What an update is reported as, worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from srl_agents.objectives.groups import groups_of
from srl_agents.objectives.metrics import episode_metrics, group_metrics, sampled_tokens
from srl_env.policy import Generation
from srl_env.rollout import Episode, Step


def step(reward: float, tokens: int = 2, **changes: Any) -> Step:
    cut = changes.pop("cut", False)
    generation = Generation("x", (5,) * tokens, (-0.5,) * tokens, (1,), "length" if cut else "stop")
    options: dict[str, Any] = {
        "reward_parts": {},
        "format_ok": True,
        "legal": None,
        "failure": None,
        **changes,
    }
    return Step((), generation, "x", 0, reward, **options)


def episode(*steps: Step, continuation: str = "policy", group: int = 0, **changes: Any) -> Episode:
    options: dict[str, Any] = {"verdict": None, "failure": None, **changes}
    return Episode("p", 0, "srl", continuation, "step", steps, group=group, **options)  # type: ignore[arg-type]


def test_rewards_are_per_episode_or_per_step_by_continuation() -> None:
    steps = step(0.5), step(1.0)
    assert episode_metrics([episode(*steps)])["reward"] == 1.5
    assert episode_metrics([episode(*steps, continuation="expert")])["reward"] == 0.75


def test_parts_are_averaged_over_the_steps_that_have_them() -> None:
    first = step(1.0, reward_parts={"format": 1.0, "similarity": 0.5})
    second = step(-1.0, reward_parts={"format": 0.0})
    metrics = episode_metrics([episode(first, second)])
    assert (metrics["reward/format"], metrics["reward/similarity"]) == (0.5, 0.5)


def test_success_is_the_verifiers_word_and_absent_without_one() -> None:
    right, wrong = ({"correct": answer} for answer in (True, False))
    episodes = [episode(step(0.0), verdict=v) for v in (right, wrong, wrong, wrong)]
    assert episode_metrics(episodes)["success"] == 0.25
    assert "success" not in episode_metrics([episode(step(0.0))])


def test_fractions_lengths_and_steps() -> None:
    steps = [
        step(0.0, 4, legal=True),
        step(0.0, 2, legal=False, format_ok=False),
        step(0.0, 6, cut=True),
    ]
    metrics = episode_metrics([episode(*steps[:2]), episode(steps[2])])
    assert metrics["legal_fraction"] == 0.5
    assert metrics["format_fraction"] == pytest.approx(2 / 3)
    assert metrics["length"] == 4
    assert metrics["truncated_fraction"] == pytest.approx(1 / 3)
    assert metrics["steps"] == 1.5


def test_failures_are_counted_by_kind_and_touch_nothing_else() -> None:
    failure = {"type": "WorldFailure", "message": "gone"}
    lost = episode(step(math.nan, failure=failure), failure=failure)
    metrics = episode_metrics([lost, episode(step(1.0)), lost])
    assert metrics["failures"] == metrics["failures/WorldFailure"] == 2
    assert metrics["episodes"] == 3
    assert metrics["reward"] == 1.0


def test_policy_faults_are_counted_and_stay_in_the_scores() -> None:
    faulty = replace(
        episode(step(0.0)), verdict={"correct": False, "answer": None, "policy_fault": "too slow"}
    )
    right = replace(episode(step(1.0)), verdict={"correct": True, "answer": "1"})
    metrics = episode_metrics([faulty, right, faulty, faulty])
    assert (metrics["policy_faults"], metrics["failures"]) == (3, 0)
    assert (metrics["reward"], metrics["success"]) == (0.25, 0.25)


def test_only_failures_leave_no_reward_at_all() -> None:
    failure = {"type": "WorldFailure", "message": "gone"}
    assert "reward" not in episode_metrics([episode(failure=failure)])


def test_how_much_of_the_signal_is_the_formats() -> None:
    broken = step(-1.0, format_ok=False)
    episodes = [
        *[episode(s, continuation="expert", group=0) for s in (broken, step(0.5), step(0.5))],
        *[episode(step(r), continuation="expert", group=1) for r in (0.0, 1.0)],
        *[episode(step(r), continuation="expert", group=2) for r in (0.5, 0.5)],
    ]
    groups = groups_of(episodes)
    metrics = group_metrics(groups, 2, min_std=0.01)
    assert (metrics["groups/sampled"], metrics["groups/trained"]) == (3, 2)
    assert metrics["groups/informative_fraction"] == pytest.approx(2 / 3)
    assert metrics["groups/informative_fraction_in_format"] == pytest.approx(1 / 3)
    # −1, ½, ½ about 0: std sqrt(1.5 / 3); 0 and 1: ½; equal ones: 0.
    assert metrics["groups/std"] == pytest.approx((math.sqrt(0.5) + 0.5) / 3)
    assert metrics["groups/std_in_format"] == pytest.approx(0.5 / 3)


def test_sampled_tokens_are_those_of_all_steps() -> None:
    assert sampled_tokens([episode(step(0.0, 4), step(0.0, 2)), episode(step(0.0, 1))]) == 7

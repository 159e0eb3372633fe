"""Whole runs that sample ahead of the learner."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.errors import BadOption
from tests.srl_agents.letters import lines, updates
from tests.srl_agents.training.test_trainer import kill_once_at

AHEAD = {"rollout": {"max_staleness": 1}}


def run(tree: dict[str, Any], *changes: dict[str, Any], resume: bool = False) -> Path:
    for change in changes:
        tree = merged(tree, change)
    train(make_config(tree), resume=resume)
    return Path(tree["out"])


def test_a_run_learns_from_samples_of_bounded_staleness(tree: dict[str, Any]) -> None:
    folder = run(tree, AHEAD, {"budget": {"updates": 8}})
    found = updates(folder)
    assert all(line["groups/trained"] == 4 for line in found)
    assert max(line["staleness/max"] for line in found) <= 1
    assert all(0 <= line["idle_fraction"] <= 1 for line in found)
    assert all(line["workers/lost"] == 0 for line in found)
    versions = {
        s["generation"]["version"] for row in lines(folder, "rollouts") for s in row["steps"]
    }
    assert versions <= set(range(8))
    assert found[-1]["reward"] > found[0]["reward"]


def test_a_run_resumes_with_the_versions_and_numbers_it_had(tree: dict[str, Any]) -> None:
    folder = run(tree, AHEAD, {"budget": {"updates": 4}})
    shutil.rmtree(folder / "model")
    run(tree, AHEAD, {"budget": {"updates": 8}}, resume=True)
    assert [line["update"] for line in updates(folder)] == list(range(1, 9))
    rows = [row for row in lines(folder, "rollouts") if row["update"] > 4]
    assert min(s["generation"]["version"] for row in rows for s in row["steps"]) >= 4


@pytest.mark.slow
def test_a_killed_learner_loses_what_was_in_flight_alone(tree: dict[str, Any]) -> None:
    changes: dict[str, Any] = {
        "method": "srl-rlvr",
        "budget": {"updates": 12},
        "stages": {"srl": {"until": {"informative": 1.0, "probe_every": 2, "probe_groups": 2}}},
        "checkpoint": {"every": 3},
    }
    config = make_config(merged(merged(tree, AHEAD), changes))
    for update in (1, 5, 10):
        kill_once_at(config, update)
    assert train(config, resume=True).finished
    found = updates(Path(config.out))
    assert [line["update"] for line in found] == list(range(1, 13))
    assert {line["stage"] for line in found} == {"srl", "rlvr"}
    assert all(line["failures"] == 0 for line in found)
    numbers = [row["group"] for row in lines(Path(config.out), "rollouts")]
    assert len(set(numbers)) == len(numbers) / 8  # 8 copies of each; none is numbered twice


def test_a_run_may_begin_to_sample_ahead_and_stop_again(tree: dict[str, Any]) -> None:
    for number, most in enumerate((0, 2, 0)):
        changes = {"budget": {"updates": 2 + 2 * number}, "rollout": {"max_staleness": most}}
        folder = run(tree, changes, resume=number > 0)
    ahead = ["staleness/max" in line for line in updates(folder)]
    assert ahead == [False, False, True, True, False, False]


def test_stages_without_sampling_and_a_second_stage_follow_one_another(
    tree: dict[str, Any],
) -> None:
    changes = {"method": ["sft", "srl"], "rollout": {"max_staleness": 2, "workers": 1}}
    found = updates(run(tree, AHEAD, changes))
    assert len(found) == 6
    assert ["staleness/max" in line for line in found] == [line["stage"] == "srl" for line in found]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"policy": {"sampler_correction": "off"}},
            "stages.srl.objective.sampler_correction must be set where rollout.max_staleness",
        ),
        ({"rollout": {"max_staleness": -1}}, "rollout.max_staleness must be"),
        (
            {"rollout": {"max_staleness": 0, "continue_episodes": True}},
            "rollout.continue_episodes: weights change between updates alone. Fix: set",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(
    tree: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadOption, match=message) as error:
        make_config(merged(merged(tree, AHEAD), changes))
    assert "\n" not in str(error.value)


def test_truncated_correction_is_on_where_samples_may_be_stale(tree: dict[str, Any]) -> None:
    def correction(tree: dict[str, Any]) -> Any:
        (stage,) = make_config(tree).resolved_method.stages
        return stage.objective.sampler_correction

    assert correction(tree) is None
    assert correction(merged(tree, AHEAD)) == "token-tis"

"""PivotRL: which start points are kept, by hand and in whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from srl_agents.methods.profile import Profile
from srl_agents.methods.shipped import get_method
from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartPoint, StartResult, StartSampler
from srl_agents.runs.checkpoint import checkpoints, load_state
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.data import ListSource
from srl_env.errors import BadOption
from srl_env.testing import counting_problem
from tests.srl_agents.letters import lines, updates

COUNTING = ListSource(tuple(counting_problem(target) for target in (2, 3)))  # 3 and 4 steps
ALL = {StartPoint(0, k) for k in range(3)} | {StartPoint(1, k) for k in range(4)}


def result(*rewards: float) -> StartResult:
    return StartResult(rewards, (), informative=len(set(rewards)) > 1)


def sampler(**settings: Any) -> StartSampler:
    return StartSampler(COUNTING, Starts(at="prefix", profile=Profile(**settings)), ("key",))


@pytest.mark.parametrize(
    ("rewards", "kept"),
    [
        ((1.0, 0.0, 0.0, 0.0), True),  # mean 0.25
        ((1.0, 1.0, 0.0, 0.0), True),  # mean 0.5
        ((1.0, 1.0, 1.0, 0.0), False),  # mean 0.75: little is left to learn
        ((0.0, 0.0, 0.0, 0.0), False),  # no variance
        ((1.0, 1.0, 1.0, 1.0), False),
    ],
)
def test_pivots_have_variance_and_a_low_mean(rewards: tuple[float, ...], kept: bool) -> None:
    assert Profile(below=0.6).keeps(rewards, informative=len(set(rewards)) > 1) is kept


def test_a_profile_is_due_when_less_than_half_are_still_pivots() -> None:
    profile = Profile(renew=0.5)
    assert profile.due([])
    assert not profile.due([True, True, False, False])
    assert profile.due([True, False, False])


def test_only_pivots_are_drawn_each_once_around() -> None:
    starts = sampler()
    assert starts.profile_due
    assert set(starts.candidates()) == ALL
    pivots = [StartPoint(0, 1), StartPoint(1, 0), StartPoint(1, 3)]
    starts.keep((p, result(1.0, 0.0) if p in pivots else result(0.0, 0.0)) for p in ALL)
    assert not starts.profile_due
    drawn = starts.draw(6)
    assert sorted(drawn[:3]) == sorted(drawn[3:]) == pivots


def test_pivots_that_are_learned_lead_to_a_new_profile() -> None:
    starts = sampler(renew=0.6)
    starts.keep((point, result(1.0, 0.0)) for point in (StartPoint(0, 0), StartPoint(0, 1)))
    assert starts.metrics([]) == {"starts/kept": 2.0, "starts/kept_still": 2.0}
    starts.record(StartPoint(0, 0), result(1.0, 1.0))  # 1 of 2 is left
    assert starts.metrics([]) == {"starts/kept": 2.0, "starts/kept_still": 1.0}
    assert starts.profile_due
    starts.keep([(StartPoint(1, 1), result(0.0, 0.0))])
    assert starts.draw(3) == []
    assert starts.profile_due


def test_candidates_go_on_where_the_last_profile_ended() -> None:
    starts = sampler(candidates=3)
    first, second = starts.candidates(), starts.candidates()
    assert len({*first, *second}) == 6


def test_a_restored_sampler_draws_the_same_pivots() -> None:
    first = sampler()
    first.keep((point, result(1.0, 0.0)) for point in first.candidates())
    first.draw(4)
    first.record(StartPoint(0, 0), result(1.0, 1.0))
    second = sampler()
    second.restore(first.state())
    assert second.kept == first.kept
    assert first.draw(20) == second.draw(20)
    assert first.candidates() == second.candidates()


# Whole runs


def configured(tree: dict[str, Any], out: Path, **profile: Any) -> Any:
    changes: dict[str, Any] = {"out": str(out), "method": "pivotrl"}
    changes["stages"] = {
        "pivots": {"objective": {"measure": "characters"}, "starts": {"profile": profile}}
    }
    return make_config(merged(tree, changes))


def test_without_a_profile_it_is_grpo_on_steps_to_the_bit(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    objective = {"reward_mode": "srl", "measure": "characters", "max_steps": 1}
    stage = {"name": "pivots", "objective": objective, "starts": {"at": "prefix"}}
    train(make_config(merged(tree, {"method": [stage], "out": str(tmp_path / "steps")})))
    changes = {"pivots": {"objective": objective, "starts": {"profile": "off"}}}
    tree = merged(tree, {"method": "pivotrl", "stages": changes, "out": str(tmp_path / "off")})
    train(make_config(tree))
    models = [tmp_path / name / "model" / "model.safetensors" for name in ("steps", "off")]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_profiling_counts_in_the_budget_and_resumes_to_the_bit(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = {"below": 0.9, "renew": 1.0}  # a new profile whenever a pivot is lost
    train(configured(tree, whole, **settings))
    train(configured(merged(tree, {"budget": {"updates": 3}}), parts, **settings))
    train(configured(tree, parts, **settings), resume=True)
    model = "model/model.safetensors"
    assert (parts / model).read_bytes() == (whole / model).read_bytes()
    first, *others = updates(whole)
    assert first["tokens"] == sum(n for name, n in first.items() if name.startswith("tokens/"))
    assert first["tokens/profile"] > 0
    assert first["starts/kept"] >= first["starts/kept_still"] > 0
    states = [load_state(checkpoints(run / "checkpoints")[-1]).counters for run in (whole, parts)]
    assert states[0]["starts"] == states[1]["starts"]
    profiles = 1 + sum("tokens/profile" in update for update in others)
    assert states[0]["starts"]["profiles"] == profiles
    assert len(lines(whole)) == len(lines(parts))


def test_it_needs_an_environment_that_checks_steps(tree: dict[str, Any]) -> None:
    assert get_method("pivotrl").needs == {"demonstrations", "step checker"}
    env = {"id": "srl/GSM8K-v0", "options": {"source": "sample"}}
    changes = {"env": env, "method": "pivotrl", "model": {"path": "none/hub"}}
    with pytest.raises(
        BadOption, match=r"got GSM8KEnv, which does not\. Fix: set stages\.pivots\.objective\.meas"
    ):
        train(make_config({**tree, **changes}))
    both = {"rlvr": {"starts": {"profile": {"below": 0.5}}}}
    with pytest.raises(BadOption, match="starts.profile keeps start points"):
        make_config(merged(tree, {"method": "r3", "stages": both}))

"""The wrapper that turns steps into choices."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import srl_env
from srl_agents.integrations import CandidateSteps, HashedNgrams, PolicySamples
from srl_agents.integrations.sb3.candidates import CandidateView, distinct
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure, PolicyFailure, WorldFailure
from srl_env.policy import Generation, Sampling
from srl_env.problem import Problem
from srl_env.testing import CountingEnv, FailingVerifier, ScriptedPolicy, SlowWorldEnv
from srl_env.text.format import ThinkTags
from srl_env.text.prompt import Messages

SMALL = HashedNgrams(size=16, lengths=(1, 2))


def counting(k: int = 4, env: ReasoningEnv | None = None, **options: Any) -> CandidateSteps:
    return CandidateSteps(env or CountingEnv(), k, **{"encoder": SMALL, **options})


def expert_place(env: CandidateSteps, info: dict[str, Any]) -> int:
    return int(info["candidates"].index(env.base.expert_completion()))


@pytest.mark.parametrize("env_id", ["srl/WordProblem-v0", "srl/ModularChain-v0"])
def test_gymnasiums_checker_passes(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*different from the unwrapped version")
        check_env(CandidateSteps(srl_env.make(env_id)), skip_render_check=True)


@pytest.mark.parametrize("env_id", ["srl/WordProblem-v0", "srl/ModularChain-v0"])
def test_the_checker_of_stable_baselines3_passes(env_id: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(CandidateSteps(srl_env.make(env_id)))


def test_the_observation_holds_state_candidates_and_mask() -> None:
    env = counting(5)
    observation, info = env.reset(seed=3, options={"problem": "count-3"})
    assert env.observation_space.contains(observation)
    state, rows = SMALL.encode(
        info["messages"][-1]["content"], [text.rpartition("\n")[2] for text in info["candidates"]]
    )
    assert observation["state"] == pytest.approx(state)
    table = observation["candidates"].reshape(5, SMALL.sizes[1] + 2)
    assert table[:, :-2] == pytest.approx(rows)
    assert table[:, -2:] == pytest.approx(np.array([[1 / 5, 1.0]] * 5))  # all different, all kept
    assert observation["mask"].tolist() == [1] * 5
    assert env.action_masks().all()


def test_choosing_the_expert_each_time_is_right() -> None:
    env = counting()
    _, info = env.reset(seed=3, options={"problem": "count-4", "continuation": "policy"})
    rewards, over = [], False
    while not over:
        _, reward, over, truncated, info = env.step(expert_place(env, info))
        rewards.append(reward)
        assert not truncated
    assert rewards == [1.0] * 5
    assert info["verdict"]["correct"]
    assert info["candidates"] == []


def test_the_expert_stands_everywhere_equally_often() -> None:
    env = counting()
    places = [expert_place(env, env.reset(seed=seed)[1]) for seed in range(200)]
    counts = np.bincount(places, minlength=4)
    assert counts.min() > 30  # 50 expected, deviation 6


def test_equal_seeds_and_actions_see_equal_candidates_and_episodes_differ() -> None:
    def seen(env: CandidateSteps) -> list[list[str]]:
        infos = [env.reset(seed=3)[1], env.step(1)[4], env.reset()[1], env.reset()[1]]
        return [info["candidates"] for info in infos]

    first = seen(counting())
    assert first == seen(counting())
    assert first[2] != first[3]


@pytest.mark.parametrize("place", [3, 99, -1])
def test_a_place_without_a_candidate_breaks_the_format(place: int) -> None:
    env = counting(4, proposer=PolicySamples(ScriptedPolicy(["<think></think>say 1", "say 9"])))
    observation, _ = env.reset(seed=3)
    assert env.action_masks().tolist() == [True, True, False, False]
    assert observation["mask"].tolist() == [1, 1, 0, 0]
    _, reward, *_ = env.step(place)
    assert reward == -1.0


def test_equal_actions_are_one_candidate_with_their_share() -> None:
    texts = ["<think>a</think>x", "y", "<think>b</think>x", "z"]
    found = distinct(texts, ThinkTags())
    shown = [(c.text, c.action, c.ok, c.fraction, c.place) for c in found]
    assert shown == [
        ("<think>a</think>x", "x", True, 0.5, 0),
        ("y", "y", False, 0.25, 1),
        ("z", "z", False, 0.25, 3),
    ]


def test_only_reasoning_environments_and_real_choices_are_taken() -> None:
    with pytest.raises(BadOption, match="wraps a ReasoningEnv"):
        CandidateSteps(gymnasium.make("CartPole-v1"))
    with pytest.raises(BadOption, match=r"proposer must have propose\(\).*got 'expert'"):
        counting(4, proposer="expert")  # type: ignore[arg-type]
    for k in (1, 2.5, "4"):
        with pytest.raises(BadOption, match="at least 2"):
            CandidateView(k)  # type: ignore[arg-type]


# failures of ours


def test_a_failed_step_truncates_without_praise_or_blame() -> None:
    env = counting(env=SlowWorldEnv(fail_at=2, continuation="policy", reward_mode="srl"))
    env.reset(seed=3, options={"problem": "count-4"})
    before, reward, *_ = env.step(0)
    assert np.isfinite(reward)
    after, reward, terminated, truncated, info = env.step(0)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["failure"]["type"] == "WorldFailure"
    assert all((after[name] == before[name]).all() for name in before)
    assert env.failures == {"WorldFailure": 1}
    _, info = env.reset()
    assert "failure" not in info


def test_a_verifier_that_fails_is_no_reward() -> None:
    env = counting(env=CountingEnv(FailingVerifier()))
    _, info = env.reset(seed=3, options={"problem": "count-2", "start_step": 2})
    _, reward, terminated, truncated, info = env.step(expert_place(env, info))
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["failure"]["type"] == "VerifierTimeout"


class Gone:
    """A policy whose server answers the first ``good`` batches."""

    def __init__(self, good: int) -> None:
        self.good = good

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        self.good -= 1
        made = Generation("x") if self.good >= 0 else PolicyFailure("gone")
        return [made] * len(batch)


def test_a_policy_that_fails_ends_the_episode_as_a_failure() -> None:
    env = counting(proposer=PolicySamples(Gone(1)))
    env.reset(seed=3)
    _, reward, terminated, truncated, info = env.step(0)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["failure"] == {"type": "PolicyFailure", "message": "gone"}


class Shaky(CountingEnv):
    """Cannot be set up the first ``bad`` times."""

    bad = 0

    def world_reset(self, problem: Problem) -> None:
        type(self).bad -= 1
        if self.bad >= 0:
            raise WorldFailure("no world")


def test_resets_that_fail_go_on_with_the_next_episode_and_are_raised_in_the_end() -> None:
    env = counting(env=Shaky(continuation="policy"))
    Shaky.bad = 2
    env.reset(seed=3)
    assert env.failures == {"WorldFailure": 2}
    Shaky.bad = 99
    with pytest.raises(WorldFailure, match="no world"):
        env.reset(seed=3)

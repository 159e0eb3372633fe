"""The per-candidate scorer: equivariant, masked, saved and loaded, and able to learn."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from srl_agents.integrations import (
    CandidateSteps,
    HashedNgrams,
    MaskableScorerPolicy,
    ScorerPolicy,
)
from srl_agents.integrations.sb3.candidates import CandidateView
from srl_agents.integrations.sb3.scorer import CandidateScorer
from srl_env.errors import BadOption
from srl_env.testing import CountingEnv, FailingVerifier

SMALL = HashedNgrams(size=16, lengths=(1, 2))


def counting(**options: Any) -> CandidateSteps:
    return CandidateSteps(CountingEnv(**options), 3, encoder=SMALL)


def scorer(k: int = 3) -> tuple[CandidateScorer, CandidateView]:
    torch.manual_seed(0)
    view = CandidateView(k, SMALL)
    return CandidateScorer(view.space, width=8), view


def features(view: CandidateView, table: Any, mask: Any, state: Any) -> Any:
    return torch.cat([table.flatten(1), mask, state], -1)


def test_the_order_of_candidates_changes_the_order_of_logits_and_nothing_else() -> None:
    net, view = scorer()
    table, state = torch.randn(2, 3, view.columns), torch.randn(2, 16)
    order, mask = [2, 0, 1], torch.ones(2, 3)
    logits, value = net(features(view, table, mask, state))
    moved, same = net(features(view, table[:, order], mask, state))
    torch.testing.assert_close(moved, logits[:, order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(same, value, atol=1e-5, rtol=1e-5)


def test_what_stands_where_no_candidate_is_changes_nothing() -> None:
    net, view = scorer()
    table, state, mask = torch.randn(1, 3, view.columns), torch.randn(1, 16), torch.ones(1, 3)
    mask[0, 1] = 0
    logits, value = net(features(view, table, mask, state))
    table[0, 1] += 5
    again, same = net(features(view, table, mask, state))
    assert torch.equal(logits, again)
    assert torch.equal(value, same)
    assert torch.softmax(logits, -1)[0, 1] == 0
    none = net(features(view, table, torch.zeros(1, 3), state))
    assert all(torch.isfinite(part).all() for part in none)


def test_other_observations_are_refused() -> None:
    with pytest.raises(BadOption, match="observations of CandidateSteps"):
        CandidateScorer(Dict({"state": Box(0, 1, (3,))}))
    with pytest.raises(BadOption, match="observations of CandidateSteps; got Box"):
        PPO(ScorerPolicy, "CartPole-v1")


@pytest.mark.parametrize(
    ("algorithm", "policy"), [(PPO, ScorerPolicy), (MaskablePPO, MaskableScorerPolicy)]
)
def test_agents_begin_undecided_and_are_the_same_after_saving(
    algorithm: Any, policy: Any, tmp_path: Path
) -> None:
    env = DummyVecEnv([counting])
    agent = algorithm(policy, env, n_steps=8, batch_size=8, seed=0, policy_kwargs={"width": 8})
    view, observation = CandidateView(3, SMALL), env.reset()
    shown, _ = agent.policy.obs_to_tensor(observation)
    distribution = agent.policy.get_distribution(shown).distribution
    assert distribution.probs[0].tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    agent.learn(16)
    agent.save(tmp_path / "agent")
    again = algorithm.load(tmp_path / "agent", device="cpu")
    assert again.policy.width == 8
    assert again.observation_space == view.space
    values = [a.policy.predict_values(shown).item() for a in (agent, again)]
    assert values[0] == values[1]


def test_both_of_sb3s_vector_environments_step_it() -> None:
    for kind in (DummyVecEnv, SubprocVecEnv):
        env = kind([counting, counting])
        agent = MaskablePPO(MaskableScorerPolicy, env, n_steps=8, batch_size=8, seed=0)
        agent.learn(16)
        assert np.isfinite(agent.logger.name_to_value["train/loss"])
        env.close()


def test_a_failing_environment_leaves_the_network_finite() -> None:
    failing = partial(CountingEnv, FailingVerifier(), continuation="expert", reward_mode="rlvr")
    env = DummyVecEnv([lambda: CandidateSteps(failing(), 3, encoder=SMALL)])
    agent = PPO(ScorerPolicy, env, n_steps=32, batch_size=16, seed=0)
    agent.learn(64)
    assert env.envs[0].get_wrapper_attr("failures")["VerifierTimeout"] > 3
    assert all(torch.isfinite(p).all() for p in agent.policy.parameters())


def test_a_tiny_choice_is_learned() -> None:
    env = DummyVecEnv([counting] * 4)
    agent = PPO(
        ScorerPolicy, env, n_steps=64, batch_size=64, gamma=0.0, learning_rate=3e-3, seed=0,
        n_epochs=6, policy_kwargs={"width": 16},
    )  # fmt: skip
    agent.learn(2048)
    test, right = counting(), []
    for seed in range(1000, 1040):
        observation, info = test.reset(seed=seed)
        place, _ = agent.predict(observation, deterministic=True)
        right.append(info["candidates"][int(place)] == test.base.expert_completion())
    assert np.mean(right) > 0.7  # a third by chance

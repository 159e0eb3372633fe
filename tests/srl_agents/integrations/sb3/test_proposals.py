"""Candidate steps: the expert's, perturbed ones, those of others, and a policy's samples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from srl_agents.integrations import ExpertAmongOthers, PolicySamples
from srl_agents.integrations.sb3.proposals import Proposer, perturb
from srl_agents.policies import ExpertPolicy
from srl_env.errors import BadOption, Failure, PolicyFailure
from srl_env.policy import Generation, Sampling
from srl_env.problem import ExpertStep
from srl_env.testing import CountingEnv, ScriptedPolicy
from srl_env.text.prompt import Messages


def propose(proposer: Proposer, count: int = 4, seed: int = 0, **options: Any) -> list[str]:
    env = CountingEnv()
    _, info = env.reset(seed=1, options={"problem": "count-3", **options})
    rng = np.random.default_rng(seed)
    return proposer.propose(env, info["messages"], count, rng)


def test_the_expert_stands_among_perturbed_steps_and_steps_of_others() -> None:
    expert, perturbed, *others = propose(ExpertAmongOthers(), start_step=1)
    assert expert == "<think>after 1 comes 2</think>\nsay 2"
    assert re.fullmatch(r"<think>after 1 comes 2</think>\nsay \d+", perturbed)
    assert len({expert, perturbed, *others}) == 4
    actions = {text.rpartition("\n")[2] for text in others}
    assert actions < {"say 1", "say 3", "say 4", "the sum=3!", "the sum=10!"}


def test_equal_generators_propose_equal_steps() -> None:
    seeds = (0, 0, 1, 2, 3)
    first, again, *others = (propose(ExpertAmongOthers(), seed=seed) for seed in seeds)
    assert first == again
    assert any(other != first for other in others)


def test_without_an_expert_step_left_there_are_only_others() -> None:
    env = CountingEnv(continuation="policy")
    env.reset(seed=1, options={"problem": "count-2"})
    for _ in range(4):
        _, _, _, _, info = env.step("<think></think>hm")
    texts = ExpertAmongOthers().propose(env, info["messages"], 3, np.random.default_rng(0))
    assert len(texts) == 3
    with pytest.raises(BadOption, match="has no step 5"):
        env.expert_completion()


def test_whole_solutions_are_refused() -> None:
    with pytest.raises(BadOption, match="granularity 'step'"):
        propose(ExpertAmongOthers(), granularity="solution")


def test_one_number_is_changed() -> None:
    step = ExpertStep("12 + 30 = 42", thought="t")
    for seed in range(20):
        changed = perturb(step, np.random.default_rng(seed))
        old, new = ([int(n) for n in re.findall(r"\d+", s.action)] for s in (step, changed))
        apart = [abs(a - b) for a, b in zip(old, new, strict=True)]
        assert sorted(apart)[:2] == [0, 0]
        assert 1 <= max(apart) <= 9
        assert changed.thought == "t"


def test_without_numbers_two_words_are_swapped() -> None:
    assert perturb(ExpertStep("add  up"), np.random.default_rng(0)).action == "up  add"
    assert perturb(ExpertStep("up"), np.random.default_rng(0)).action == "up"
    assert perturb(ExpertStep("up up"), np.random.default_rng(0)).action == "up up"


def test_a_policys_samples_come_as_they_are() -> None:
    policy = ScriptedPolicy(["a", "b", "a"])
    assert propose(PolicySamples(policy, Sampling(max_tokens=7)), 3) == ["a", "b", "a"]
    ((sampling,), (shown,)) = policy.samplings, policy.shown
    assert sampling.max_tokens == 7
    assert len(shown) == 3
    assert shown[0][-1]["content"].startswith("Problem:\nCount to 3")


@pytest.mark.parametrize("policy", [ExpertPolicy(), "Qwen/Qwen3-0.6B"])
def test_who_has_no_samples_is_named_before_an_episode_begins(policy: Any) -> None:
    with pytest.raises(BadOption, match=f"{type(policy).__name__} has no generate"):
        PolicySamples(policy)


@pytest.mark.parametrize("perturbed", [-1, 1.5, "2"])
def test_a_number_of_perturbed_candidates_that_is_none_is_refused(perturbed: Any) -> None:
    with pytest.raises(BadOption, match="perturbed must be a whole number of at least 0"):
        ExpertAmongOthers(perturbed)


def test_the_expert_can_be_one_of_them() -> None:
    texts = propose(PolicySamples(ScriptedPolicy(["a"]), with_expert=True), 3)
    assert texts == ["<think>after 0 comes 1</think>\nsay 1", "a", "a"]


class Lossy:
    """Gives what it is told to, failures too."""

    def __init__(self, *made: Generation | Failure) -> None:
        self.made = made

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        return self.made[: len(batch)]


def test_failed_samples_are_left_out_and_raised_where_nothing_else_came() -> None:
    lost = PolicyFailure("gone")
    assert propose(PolicySamples(Lossy(lost, Generation("a"))), 2) == ["a"]
    with pytest.raises(PolicyFailure, match="gone"):
        propose(PolicySamples(Lossy(lost, lost)), 2)

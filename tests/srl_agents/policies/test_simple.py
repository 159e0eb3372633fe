"""The expert and chance, in a tiny environment."""

from __future__ import annotations

import pytest

from srl_agents.policies import ExpertPolicy, RandomPolicy
from srl_env.errors import BadOption
from srl_env.policy import Policy, Sampling
from srl_env.rollout import EnvPool, PrivilegedPolicy, Start, rollout
from srl_env.testing import CountingEnv
from srl_env.text.format import ThinkTags

NO_MESSAGES = [[{"role": "user", "content": "go"}]] * 50  # type: ignore[var-annotated]


def test_the_expert_solves_what_it_demonstrated() -> None:
    assert isinstance(ExpertPolicy(), PrivilegedPolicy)
    starts = [Start({"continuation": "policy"}, seed=seed) for seed in (1, 2)]
    episodes = rollout(EnvPool(CountingEnv), ExpertPolicy(), starts)
    assert all(episode.correct for episode in episodes)


def test_chance_writes_what_its_seed_says() -> None:
    assert isinstance(RandomPolicy(), Policy)
    first, second, other = (
        [g.text for g in RandomPolicy(seed).generate(NO_MESSAGES, Sampling())] for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other
    assert len(set(first)) > 40
    assert all(1 <= len(text) <= 20 for text in first)


def test_chance_takes_every_candidate() -> None:
    policy = RandomPolicy(candidates=["left", "right"])
    assert {g.text for g in policy.generate(NO_MESSAGES, Sampling())} == {"left", "right"}


def test_chance_keeps_a_format() -> None:
    policy = RandomPolicy(candidates=["left"], format=ThinkTags())
    (generation,) = policy.generate(NO_MESSAGES[:1], Sampling())
    parsed = ThinkTags().parse(generation.text)
    assert parsed.ok
    assert parsed.action == "left"


def test_nothing_to_choose_from_is_an_error() -> None:
    with pytest.raises(BadOption, match="candidates must hold at least one action"):
        RandomPolicy(candidates=[])
    with pytest.raises(BadOption, match="at least one character"):
        RandomPolicy(characters="")


def test_a_random_completion_depends_on_the_seed_of_its_row_alone() -> None:
    policy = RandomPolicy()
    both = policy.generate(NO_MESSAGES[:2], Sampling(seeds=(3, 4)))
    assert policy.generate(NO_MESSAGES[:1], Sampling(seeds=(4,))) == both[1:]
    assert both[0] != both[1]

"""Jobs of episodes: what is rolled out together, and what the result depends on."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from srl_agents.collection.collector import Collector
from srl_agents.collection.runners import Job, LocalRollouts, Result, run_job
from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartSampler
from srl_agents.objectives import GRPO
from srl_env.policy import Generation, Sampling
from srl_env.rollout import EnvPool, Start
from srl_env.testing import CountingEnv
from srl_env.text.prompt import Messages

OBJECTIVE = GRPO(reward_mode="srl", max_steps=1, group_size=2, max_groups=2.0)


class Drawing:
    """Says a number from its generator; remembers what it was asked."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self.batches: list[int] = []
        self.forgotten = 0

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        self.batches.append(len(batch))
        draws = torch.randint(1, 4, (len(batch),), generator=self.generator)
        return [Generation(f"<think></think>say {draw}") for draw in draws.tolist()]

    def weights_changed(self) -> None:
        self.forgotten += 1


def job(seed: int | None, size: int = 6) -> Job:
    return Job((Start({"reward_mode": "srl"}, seed=1),) * size, Sampling(), seed)


def said(result: Result) -> list[list[str]]:
    return [[step.action for step in episode.steps] for episode in result.episodes]


def test_a_seeded_job_gives_the_same_episodes_whatever_was_run_before() -> None:
    pool, policy = EnvPool(CountingEnv), Drawing()
    first = run_job(job(5), pool, policy)
    other = run_job(job(6), pool, policy)
    assert said(run_job(job(5), EnvPool(CountingEnv), Drawing())) == said(first)
    assert said(run_job(job(5), pool, policy)) == said(first)
    assert said(other) != said(first)
    assert policy.forgotten == 3


def test_without_a_seed_the_policy_draws_on() -> None:
    pool, policy = EnvPool(CountingEnv), Drawing()
    assert said(run_job(job(None), pool, policy)) != said(run_job(job(None), pool, policy))
    assert policy.forgotten == 0


def collected(groups_per_job: int | None) -> Drawing:
    policy = Drawing()
    rollouts = LocalRollouts(EnvPool(CountingEnv), policy, groups_per_job)
    starts = StartSampler(CountingEnv().problems, Starts("prefix"), ())
    OBJECTIVE.collect(Collector(rollouts, seed=0).source(starts, 5, "train", 1))
    return policy


def test_a_draw_is_split_into_jobs_of_so_many_groups() -> None:
    assert collected(None).batches[0] == 10  # 5 groups of 2
    assert collected(2).batches[:3] == [4, 4, 2]


def test_the_metrics_of_one_process_say_nothing_of_workers() -> None:
    assert LocalRollouts(EnvPool(CountingEnv), Drawing()).metrics() == {}

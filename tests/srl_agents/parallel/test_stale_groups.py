"""Groups of mixed staleness in several processes: the same groups, and the gradient of one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from srl_agents.collection.ahead.producer import Ahead
from srl_agents.collection.ahead.rules import versions
from srl_agents.collection.collector import Collector
from srl_agents.collection.runners import Job, Result, run_job
from srl_agents.collection.stream import JobStream
from srl_agents.collection.versioned import Versioned, Weights
from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartSampler
from srl_agents.objectives import GRPO
from srl_agents.objectives.requests import Collected
from srl_agents.parallel.sharding import shard, whole
from srl_agents.parallel.team import ALONE, Team, join
from srl_agents.runs.config import OptimizerConfig
from srl_agents.training.learner import Learner
from srl_env.policy import Generation, Sampling
from srl_env.rollout import EnvPool
from srl_env.text.prompt import Messages
from tests.srl_agents import letters
from tests.srl_agents.parallel.team_jobs import together

CPU = torch.device("cpu")
OBJECTIVE = GRPO(
    reward_mode="srl", max_steps=1, group_size=3, sampler_correction="token-tis", sampler_cap=1.2
)
BATCH, STALENESS, LAST = 4, 2, 4
LATE = {12: 4, 13: 4, 19: 9, 21: 9, 22: 9, 23: 9}
"""The version of the learner's weights at which groups arrive that are late."""


class Alternating:
    """Every second letter is wrong, so every group has a signal; log-probs depend on the version
    of the weights."""

    def __init__(self) -> None:
        self.said, self.version = 0, 0

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        return [self._one(messages[-1]["content"]) for messages in batch]

    def _one(self, prompt: str) -> Generation:
        self.said += 1
        text = (prompt[0] if self.said % 2 else "#") * 4
        ids, before = (tuple(letters.TOKENIZER.encode(each)) for each in (text, prompt))
        return Generation(text, ids, (-1.0 - 0.3 * self.version,) * len(ids), before)


class Stream:
    """Runs a job as soon as it is submitted, and delivers it at once or late."""

    def __init__(self) -> None:
        self.groups_per_job: int | None = 1
        self.slots = 1
        self.policy, self.pool = Versioned(Alternating()), EnvPool(letters.Letters)
        self.now, self.done, self.late = 0, deque[list[Result]](), list[tuple[int, list[Result]]]()

    @property
    def busy(self) -> bool:
        return bool(self.done)

    def offer(self, weights: Weights) -> None:
        self.policy.offer(weights)
        self.now = weights.version
        self.done += [found for when, found in self.late if when <= self.now]
        self.late = [each for each in self.late if each[0] > self.now]

    def submit(self, jobs: Sequence[Job]) -> None:
        with self.policy.job():
            found = [run_job(job, self.pool, self.policy) for job in jobs]
        when = LATE.get(found[0].episodes[0].group, 0)
        if when > self.now:
            self.late.append((when, found))
        else:
            self.done.append(found)

    def take(self) -> list[Result]:
        return self.done.popleft()

    def discard(self) -> None:
        self.done.clear()


def last_update(team: Team) -> Collected:
    """What the last of five updates trains on, each of which is a version of the weights."""
    stream = Stream()
    ahead = Ahead(cast(JobStream, stream), STALENESS, job_groups=1)
    starts = StartSampler(letters.Letters().problems, Starts("prefix"), ())
    collector = Collector(cast(Any, stream), 0, team)
    for version in range(LAST + 1):

        def load(policy: Any, version: int = version) -> None:
            policy.version = version

        ahead.offer(Weights(version, load))
        source = ahead.source(collector.source(starts, BATCH, "train", version + 1))
        found = OBJECTIVE.collect(source)
    return found


def gradient(team: Team, found: Collected, sharded: bool) -> Tensor:
    """The gradient of an update on what was collected, as one vector in double precision."""
    model = letters.base().double()
    if sharded:
        shard(model, CPU, autocast=False)
    learner = Learner(model, OptimizerConfig(micro_batch_tokens=24, max_grad_norm=1e9), team=team)
    data = OBJECTIVE.training_batches(found, BATCH, 1)
    assert data is not None
    learner.update(data, OBJECTIVE, lr=0.0)
    grads = [whole(p.grad).flatten() for p in learner.parameters if p.grad is not None]
    return torch.cat(grads)


def of_a_team() -> tuple[Collected, list[list[float]]]:
    team = join(CPU)
    found = last_update(team)
    return found, [gradient(team, found, sharded).tolist() for sharded in (False, True)]


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_agree_on_groups_and_have_the_gradient_of_one(size: int) -> None:
    of_all = together(size, of_a_team)
    found, _ = of_all[0]
    assert {LAST - version for version in versions(found.episodes)} == {0, 1, 2}
    assert {LAST - version for version in versions(found.dropped)} == {3}
    assert found.informative == BATCH
    expected = gradient(ALONE, found, sharded=False)
    assert expected.abs().max() > 1e-3
    for other, gradients in of_all:
        assert other.episodes == found.episodes
        assert other.dropped == found.dropped
        for each in gradients:
            difference = (torch.tensor(each, dtype=torch.float64) - expected).abs().max()
            assert difference < 1e-6 * expected.abs().max()

"""What the learner begins and takes, with a stream whose jobs end when the test says so."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import pytest

from srl_agents.collection.ahead.producer import Ahead
from srl_agents.collection.collector import Collector
from srl_agents.collection.runners import Job, Result, run_job
from srl_agents.collection.stream import JobStream
from srl_agents.collection.versioned import Versioned, Weights
from srl_agents.methods.bread import Rescue
from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartSampler
from srl_agents.objectives import GRPO
from srl_agents.objectives.requests import Collected
from srl_env.policy import Generation, Sampling
from srl_env.rollout import EnvPool
from srl_env.testing import CountingEnv
from srl_env.text.prompt import Messages

OBJECTIVE = GRPO(reward_mode="srl", max_steps=1, group_size=2, max_groups=3.0)


class Counting:
    """Keeps the format every second time, so that every group has a signal; or always."""

    def __init__(self, signal: bool = True) -> None:
        self.signal, self.said = signal, 0

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        said = []
        for _ in batch:
            self.said += self.signal
            said.append(Generation("no step" if self.said % 2 else "<think></think>say 1"))
        return said


class ByHand:
    """A stream that runs a job as soon as it is submitted, and delivers it unless it is held."""

    def __init__(self, policy: Any) -> None:
        self.groups_per_job: int | None = 1
        self.slots = 2
        self.policy = Versioned(policy)
        self.pool = EnvPool(CountingEnv)
        self.done, self.held = deque[list[Result]](), list[list[Result]]()
        self.hold = 0  # the next so many tasks

    @property
    def busy(self) -> bool:
        return bool(self.done)

    def offer(self, weights: Weights) -> None:
        self.policy.offer(weights)

    def submit(self, jobs: Sequence[Job]) -> None:
        with self.policy.job():
            found = [run_job(job, self.pool, self.policy) for job in jobs]
        if self.hold:
            self.hold -= 1
            self.held.append(found)
        else:
            self.done.append(found)

    def take(self) -> list[Result]:
        return self.done.popleft()

    def discard(self) -> None:
        self.done.clear()


class Learner:
    """An ``Ahead`` with its starts; each update is a version of the weights."""

    def __init__(self, most: int, signal: bool = True) -> None:
        self.stream = ByHand(Counting(signal))
        self.ahead = Ahead(cast(JobStream, self.stream), most, job_groups=1)
        self.starts = StartSampler(CountingEnv().problems, Starts("prefix"), ())
        self.collector = Collector(cast(Any, self.stream), seed=0)
        self.updates = 0
        self.offer()

    def offer(self) -> None:
        self.ahead.offer(Weights(self.updates, lambda policy: None))

    def collect(self, batch: int = 4) -> Collected:
        source = self.collector.source(self.starts, batch, "train", self.updates + 1)
        return OBJECTIVE.collect(self.ahead.source(source))

    def update(self, batch: int = 4) -> dict[str, float]:
        """An update, and its numbers as if it had taken 10 s."""
        self.collect(batch)
        self.updates += 1
        self.offer()
        return self.ahead.metrics(10.0)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_every_update_trains_on_samples_of_the_allowed_age(most: int) -> None:
    learner = Learner(most)
    ages = [learner.update()["staleness/max"] for _ in range(6)]
    assert ages == [float(min(update, most)) for update in range(6)]


def test_memory_holds_the_groups_of_this_update_and_of_the_next_ones() -> None:
    learner = Learner(most=2)
    assert [learner.update()["staleness/pending"] for _ in range(3)] == [8.0, 8.0, 8.0]


def test_what_arrives_too_late_is_dropped_and_counted() -> None:
    learner = Learner(most=1)
    learner.stream.hold = 2
    first = learner.update()  # 8 begun under version 0; 2 are held, 4 taken, 2 left
    assert (first["staleness/dropped"], first["staleness/pending"]) == (0.0, 4.0)
    learner.update()  # version 1
    learner.stream.done.extend(learner.stream.held)
    found = learner.collect()  # version 2
    assert len(found.dropped) == 4  # 2 groups of 2
    assert {s.generation.version for e in found.dropped for s in e.steps} == {0}
    assert {s.generation.version for e in found.episodes for s in e.steps} == {1, 2}
    assert found.informative == 4
    assert learner.ahead.metrics(10.0)["staleness/dropped"] == 2.0


def test_groups_without_a_signal_are_replaced_up_to_the_limit() -> None:
    learner = Learner(most=1, signal=False)
    found = learner.collect()
    assert (len(found.groups), found.informative) == (12, 0)  # max_groups is 3


def test_further_tries_of_a_problem_follow_what_was_begun_and_take_no_place_of_new_ones() -> None:
    learner = Learner(most=1, signal=False)
    learner.starts = StartSampler(CountingEnv().problems, Starts(prefix=Rescue()), ())
    objective = GRPO(group_size=2, max_groups=1.0)
    updates = list[list[tuple[int, int]]]()
    for update in range(1, 6):
        source = learner.collector.source(learner.starts, 3, "train", update)
        starts = objective.collect(learner.ahead.source(source)).starts.values()
        updates.append([(s.options["problem"], s.options["start_step"]) for s in starts])
    assert [sum(not given for _, given in tried) for tried in updates] == [3] * 5
    assert {(0, 1), (1, 2), (2, 2)} <= set(updates[2])  # begun after the second update's


def test_each_group_has_a_number_and_a_seed_of_its_own() -> None:
    learner = Learner(most=1)
    found = [learner.collect() for _ in range(3)]
    numbers = [group.start for each in found for group in each.groups]
    assert numbers == list(range(12))
    seeds = [start.seed for each in found for start in each.starts.values()]
    assert len(set(seeds)) == 12


def test_another_stage_forgets_what_was_begun_before() -> None:
    learner = Learner(most=1)
    learner.collect()
    learner.starts = StartSampler(CountingEnv().problems, Starts("problem"), ("other",))
    found = learner.collect()
    assert min(found.starts) == 8  # 0 … 7 were begun before
    assert all(start.options["start_step"] == 0 for start in found.starts.values())


def test_a_resumed_run_begins_with_the_starts_of_what_was_lost() -> None:
    learner = Learner(most=1)
    learner.update()
    lost = dict(learner.ahead.pending)
    state = json.loads(json.dumps(learner.ahead.state(learner.starts)))
    draws = learner.starts.state()
    resumed = Learner(most=1)
    resumed.starts.restore(draws)
    resumed.ahead.restore(state, resumed.starts)
    resumed.updates = 1
    resumed.offer()
    found = resumed.collect()
    assert [start.options["problem"] for start in found.starts.values()] == [
        point.problem for point in lost.values()
    ]
    assert min(found.starts) == 8  # numbers, and with them seeds, are not used twice
    assert {s.generation.version for e in found.episodes for s in e.steps} == {1}


def test_a_stage_that_is_about_to_begin_loses_no_starts() -> None:
    learner = Learner(most=1)
    learner.collect()
    other = StartSampler(CountingEnv().problems, Starts("problem"), ())
    assert learner.ahead.state(other)["points"] == []


def test_the_log_has_the_fraction_of_the_time_that_the_learner_waited() -> None:
    learner = Learner(most=1)
    numbers = learner.update()
    assert numbers["idle_fraction"] == pytest.approx(numbers["time/idle"] / 10)
    assert learner.ahead.metrics(10.0) == {}


def test_drops_do_not_make_the_next_updates_begin_more_than_they_take() -> None:
    learner = Learner(most=1)
    learner.stream.hold = 2
    learner.update()
    learner.update()
    learner.stream.done.extend(learner.stream.held)
    found = [learner.update() for _ in range(6)]
    assert [numbers["staleness/dropped"] for numbers in found] == [2.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert max(numbers["staleness/pending"] for numbers in found) == 4.0

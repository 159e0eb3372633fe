"""Jobs in threads: order, losses, errors and ends. The runners are fakes that follow a script."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from srl_agents.collection import stream as module
from srl_agents.collection.runners import Job, NoWorkersLeft, Result
from srl_agents.collection.stream import JobStream, NotWanted
from srl_env.errors import BadOption, PolicyFailure
from srl_env.policy import Sampling
from srl_env.rollout import Episode, Start
from srl_env.testing import CountingEnv

Said = Callable[[Job, Callable[[], bool]], None]


class Told:
    """A runner that calls ``say`` and gives an episode that names the job and itself."""

    def __init__(self, name: str = "one", say: Said = lambda job, wanted: None) -> None:
        self.name, self.say = name, say
        self.offered: list[Any] = []
        self.recovers: list[Exception] = []
        self.recovered = self.closed = 0

    def offer(self, weights: Any) -> None:
        self.offered.append(weights)

    def run(self, job: Job, wanted: Callable[[], bool]) -> Result:
        self.say(job, wanted)
        group = job.starts[0].group
        found = Episode(self.name, 0, "srl", "expert", "step", (), None, None, group)
        return Result([found])

    def recover(self, wanted: Callable[[], bool]) -> None:
        if self.recovers:
            raise self.recovers.pop(0)
        self.recovered += 1

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT_S", 0.001)


@pytest.fixture
def make() -> Iterator[Callable[..., JobStream]]:
    made: list[JobStream] = []

    def make(*runners: Told, **settings: Any) -> JobStream:
        made.append(JobStream(runners, {"": CountingEnv()}, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


Make = Callable[..., JobStream]


def job(group: int) -> Job:
    return Job((Start({"reward_mode": "srl"}, seed=1, group=group),), Sampling(), seed=group)


def groups(results: list[Result]) -> list[int]:
    return [episode.group for result in results for episode in result.episodes]


def test_what_is_done_first_is_taken_first(make: Make) -> None:
    free = threading.Event()
    stream = make(
        Told("slow", lambda job, wanted: job.starts[0].group == 1 and free.wait(10)),
        Told("other", lambda job, wanted: job.starts[0].group == 1 and free.wait(10)),
    )
    stream.submit([job(1)])
    stream.submit([job(2)])
    assert groups(stream.take()) == [2]
    assert stream.busy
    free.set()
    assert groups(stream.take()) == [1]
    assert not stream.busy


def test_jobs_that_belong_together_arrive_together(make: Make) -> None:
    stream = make(Told())
    stream.submit([job(1), job(2)])
    assert groups(stream.take()) == [1, 2]


def test_what_is_waited_for_at_once_goes_before_what_waits(make: Make) -> None:
    began, seen, streams = threading.Event(), list[int](), list[JobStream]()

    def say(job: Job, wanted: Callable[[], bool]) -> None:
        seen.append(job.starts[0].group)
        began.set()
        while seen == [1] and len(streams[0]._tasks) < 3:
            time.sleep(0.001)

    streams.append(stream := make(Told(say=say)))
    stream.submit([job(1)])
    assert began.wait(10)
    stream.submit([job(2)])
    assert groups(stream.run([job(3)])) == [3]
    assert groups(stream.take() + stream.take()) == [1, 2]
    assert seen == [1, 3, 2]


def test_a_seed_becomes_a_seed_of_each_episode(make: Make) -> None:
    seen: list[Job] = []
    stream = make(Told(say=lambda job, wanted: seen.append(job)))
    stream.run([Job((Start(), Start()), Sampling(), seed=5), Job((Start(),), Sampling(), seed=6)])
    seeds = {start.sampling_seed for job in seen for start in job.starts}
    assert len(seeds) == 3
    assert None not in seeds
    assert all(job.seed is None for job in seen)


def dies(times: int) -> Said:
    """Fails so many times, in any job."""
    left = [PolicyFailure(f"gone {number}") for number in range(times)]

    def say(job: Job, wanted: Callable[[], bool]) -> None:
        if left:
            raise left.pop()

    return say


def test_a_lost_job_is_done_again_and_the_runner_recovers(make: Make) -> None:
    runner = Told(say=dies(2))
    runner.recovers = [PolicyFailure("still gone"), PolicyFailure("another model")]
    stream = make(runner, retries=2)
    stream.submit([job(1)])
    assert groups(stream.take()) == [1]
    assert runner.recovered == 2
    assert stream.metrics() == {
        "workers/lost": 2.0,
        "workers/reissued": 2.0,
        "workers/given_up": 0.0,
    }
    assert not any(stream.metrics().values())


def test_a_job_that_is_lost_too_often_has_failed_episodes(make: Make) -> None:
    stream = make(Told(say=dies(2)), retries=1)
    stream.submit([job(7)])
    (result,) = stream.take()
    (episode,) = result.episodes
    assert episode.failure is not None
    assert episode.failure["type"] == "WorkerLost"
    assert "one: gone 0; lost 2 times" in episode.failure["message"]
    assert episode.group == 7
    assert stream.metrics()["workers/given_up"] == 1


def test_if_no_job_is_ever_done_the_run_ends_in_one_line(make: Make) -> None:
    stream = make(Told(say=dies(99)), retries=0)
    for group in range(3):
        stream.submit([job(group)])

    def take_all() -> None:
        while True:
            stream.take()

    with pytest.raises(NoWorkersLeft, match=r"the last \d jobs were lost, each 1 times"):
        take_all()


def test_of_jobs_that_are_waited_for_together_some_may_be_lost_but_not_all(make: Make) -> None:
    def say(job: Job, wanted: Callable[[], bool]) -> None:
        if job.starts[0].group:
            raise PolicyFailure("gone")

    stream = make(Told(say=say), retries=0)
    found = stream.run([job(group) for group in range(4)])
    assert [each.episodes[0].failure is None for each in found] == [True, False, False, False]
    with pytest.raises(NoWorkersLeft, match="the last 2 jobs were lost, each 1 times; the last: "):
        stream.run([job(1), job(2)])


def test_if_every_runner_stays_lost_the_run_ends_in_one_line(make: Make) -> None:
    runner = Told("http://there", dies(1))
    runner.recovers = [PolicyFailure("it serves another model")] * 10_000
    stream = make(runner, patience_s=0.01)
    stream.submit([job(1)])
    with pytest.raises(NoWorkersLeft, match="http://there: it serves another model. Fix that"):
        stream.take()


def test_the_others_go_on_while_one_is_lost(make: Make) -> None:
    lost = Told("lost", dies(1))
    lost.recovers = [PolicyFailure("gone")] * 10_000
    stream = make(lost, Told("sound"), patience_s=0.01)
    for group in range(20):
        stream.submit([job(group)])
    found = [episode for _ in range(20) for each in stream.take() for episode in each.episodes]
    assert sorted(episode.group for episode in found) == list(range(20))
    assert all(episode.failure is None for episode in found)


def test_a_mistake_in_a_job_is_raised_where_it_is_waited_for(make: Make) -> None:
    def say(job: Job, wanted: Callable[[], bool]) -> None:
        raise BadOption("no such option")

    stream = make(Told(say=say))
    stream.submit([job(1)])
    with pytest.raises(BadOption, match="no such option"):
        stream.take()


def test_what_is_discarded_is_stopped_and_never_taken(make: Make) -> None:
    began, stopped = threading.Event(), threading.Event()

    def say(job: Job, wanted: Callable[[], bool]) -> None:
        began.set()
        while job.starts[0].group == 1 and wanted():
            stopped.wait(0.001)
        if not wanted():
            stopped.set()
            raise NotWanted

    stream = make(Told(say=say))
    for group in (1, 2):
        stream.submit([job(group)])
    assert began.wait(10)
    stream.discard()
    assert not stream.busy
    assert stopped.wait(10)
    stream.submit([job(3)])
    assert groups(stream.take()) == [3]


def test_new_weights_go_to_all_and_every_runner_is_closed() -> None:
    runners = [Told(), Told("two")]
    stream = JobStream(runners, {"": CountingEnv()})
    stream.offer("weights")  # type: ignore[arg-type]
    stream.close()
    assert [each.offered for each in runners] == [["weights"]] * 2
    assert [each.closed for each in runners] == [1, 1]

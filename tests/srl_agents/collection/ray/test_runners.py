"""Rollouts on Ray, on a cluster of this machine: the same episodes, whatever happens to workers.

The workers here are light; those that hold a model are in ``training/test_ray``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from srl_agents.collection.ray.actor import Parts, RolloutActor
from srl_agents.collection.ray.packed_weights import handed_out
from srl_agents.collection.ray.runners import RayRunner, ray_stream
from srl_agents.collection.runners import Job, LocalRollouts, NoWorkersLeft, Result
from srl_agents.collection.stream import JobStream
from srl_agents.collection.versioned import Weights
from srl_agents.objectives.metrics import episode_metrics
from srl_agents.runs.config import RolloutConfig, make_config
from srl_env.errors import BadOption, MissingExtra, UnknownName, WorldFailure
from srl_env.policy import Generation, Sampling
from srl_env.rollout import EnvPool, Start
from srl_env.seeding import stream
from srl_env.testing import CountingEnv
from srl_env.text.prompt import Messages
from tests.srl_agents.ray_cluster import small_cluster

ray = pytest.importorskip("ray")
# Ray leaves files and sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

SCRIPT = Path(__file__)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One for all tests; the test's own code goes to the workers by value."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with small_cluster():
        yield


class Seeds:
    """The little of a generator that is needed."""

    def manual_seed(self, seed: int) -> None:
        self.rng = stream("test", seed)


class Drawing:
    """Says numbers that depend on its seed."""

    def __init__(self) -> None:
        self.generator = Seeds()

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        draws = self.generator.rng.integers(1, 4, len(batch))
        return [Generation(f"<think></think>say {draw}", (int(draw),)) for draw in draws]


class Troubled(CountingEnv):
    """Something happens in the world of the problem "count to 2", as often as there are files."""

    slow_world = False

    def __init__(self, folder: str, trouble: Callable[[], None]) -> None:
        super().__init__()
        self.folder, self.trouble = folder, trouble

    def world_step(self, action: str) -> str | None:
        files = sorted(Path(self.folder).glob("trouble-*"))
        if self.problem is self.problems[1] and any(map(taken, files)):
            self.trouble()
        return None


def taken(file: Path) -> bool:
    """Removes a file; False where another worker was faster."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hanging() -> None:
    time.sleep(60)


def in_trouble(folder: str, trouble: Callable[[], None]) -> Parts:
    return EnvPool(partial(Troubled, folder, trouble)), Drawing()


def jobs(count: int = 6) -> list[Job]:
    """Each of a group of two copies, the problems in turn."""
    options = [{"problem": i % 3, "reward_mode": "rlvr"} for i in range(count)]
    return [
        Job((Start(options[i], seed=i, group=i),) * 2, Sampling(), seed=100 + i)
        for i in range(count)
    ]


def as_json(parts: Sequence[Result]) -> list[list[dict[str, Any]]]:
    return [[episode.to_json() for episode in part.episodes] for part in parts]


def expected(count: int = 6) -> list[list[dict[str, Any]]]:
    rollouts = LocalRollouts(EnvPool(partial(Troubled, "/nowhere", killed)), Drawing())
    return as_json(rollouts.run(jobs(count)))


Make = Callable[..., JobStream]


def places(workers: JobStream) -> list[str]:
    """The process of each worker that has started."""
    return [each.name.split()[-1][:-1] for each in workers._runners if each not in workers._lost]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Workers that have all started, ended after the test."""
    made: list[JobStream] = []

    def workers(
        trouble: Callable[[], None] = killed, times: int = 0, parts: Any = None, **settings: Any
    ) -> JobStream:
        for number in range(times):
            (tmp_path / f"trouble-{number:02}").touch()
        parts = parts or partial(in_trouble, str(tmp_path), trouble)
        settings = {"engine": "ray", "job_groups": 1} | settings
        found = ray_stream(parts, {"": CountingEnv()}, RolloutConfig(**settings))
        made.append(found)
        with found._changed:
            found._wait(lambda: not found._lost)
        return found

    yield workers
    for each in made:
        each.close()


def test_episodes_are_those_of_one_process_on_any_worker(make: Make) -> None:
    workers = make(workers=2)
    assert len(set(places(workers))) == 2
    assert as_json(workers.run(jobs())) == expected()
    assert workers.run([]) == []
    assert workers.metrics() == {
        "workers/lost": 0.0,
        "workers/reissued": 0.0,
        "workers/given_up": 0.0,
    }


def test_a_killed_worker_costs_its_unit_which_another_one_runs_to_the_same_end(make: Make) -> None:
    workers = make(killed, times=1, workers=2)
    before = places(workers)
    assert as_json(workers.run(jobs())) == expected()
    assert workers.metrics()["workers/lost"] == 1.0
    assert workers.metrics()["workers/lost"] == 0.0
    while len(places(workers)) < 2:  # until the one that takes its place has started
        assert as_json(workers.run(jobs())) == expected()
    assert len(set(places(workers)) - set(before)) == 1


def test_a_worker_killed_from_outside_between_two_updates_is_replaced(make: Make) -> None:
    workers = make(workers=1)
    os.kill(int(places(workers)[0]), signal.SIGKILL)
    assert as_json(workers.run(jobs(3))) == expected(3)
    assert workers.metrics()["workers/lost"] == 1.0


def test_a_hanging_worker_is_ended_at_its_deadline(make: Make) -> None:
    workers = make(hanging, times=1, workers=2)
    # as short as a new worker's start, which has the same deadline, can be on a busy machine
    for runner in workers._runners:
        cast(RayRunner, runner)._deadline_s = 8.0
    began = time.monotonic()
    assert as_json(workers.run(jobs(2))) == expected(2)
    assert time.monotonic() - began < 30
    assert workers.metrics()["workers/reissued"] == 1.0


def test_what_kills_every_worker_is_masked_and_counted_and_the_rest_continues(make: Make) -> None:
    workers = make(killed, times=9, workers=2, retries=1)
    found = workers.run(jobs(3))
    assert [as_json(found)[i] for i in (0, 2)] == [expected(3)[i] for i in (0, 2)]
    episodes = found[1].episodes
    assert [(e.problem_id, e.steps, e.verdict, e.group) for e in episodes] == [
        (CountingEnv().problems[1].id, (), None, 1)
    ] * 2
    assert all(e.failure and e.failure["type"] == "WorkerLost" for e in episodes)
    assert "lost 2 times" in str(episodes[0].failure)
    assert episode_metrics(episodes)["failures/WorkerLost"] == 2.0
    assert workers.metrics() == {
        "workers/lost": 2.0,
        "workers/reissued": 1.0,
        "workers/given_up": 1.0,
    }


def test_where_nothing_at_all_is_finished_the_run_stops(make: Make) -> None:
    workers = make(killed, times=9, workers=1, retries=0)
    with pytest.raises(NoWorkersLeft, match="longer rollout.deadline_s, then resume"):
        workers.run([jobs()[1]])


def hopeless(folder: str) -> Parts:
    if Path(folder, "broken").exists():
        killed()
    return in_trouble(folder, killed)


def test_workers_that_never_start_again_are_given_up(make: Make, tmp_path: Path) -> None:
    workers = make(times=1, parts=partial(hopeless, str(tmp_path)), workers=1, retries=1)
    (tmp_path / "broken").touch()
    with pytest.raises(NoWorkersLeft, match="in 2 attempts; the last: a worker that starts: ended"):
        workers.run(jobs())


def mistaken() -> Parts:
    raise UnknownName("environment", "srl/Cuonting-v0", ["srl/Counting-v0"])


def stranger() -> Parts:
    class Buggy(CountingEnv):
        def world_step(self, action: str) -> str | None:
            raise ZeroDivisionError("a bug")

    return EnvPool(Buggy), Drawing()


def unwell() -> Parts:
    class Unwell(CountingEnv):
        def world_step(self, action: str) -> str | None:
            raise WorldFailure("the world is gone")

    return EnvPool(Unwell), Drawing()


def test_users_errors_in_workers_are_raised_as_they_are(make: Make) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'srl/Counting-v0'"):
        make(parts=mistaken, workers=1)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        make(parts=stranger, workers=1).run(jobs(1))


def test_failures_of_worlds_stay_those_of_their_episodes(make: Make) -> None:
    (found,) = make(parts=unwell, workers=1).run(jobs(1))
    assert [e.failure and e.failure["type"] for e in found.episodes] == ["WorldFailure"] * 2


class Remembering(Drawing):
    """Says the weights it was last given; its samples tell when it was given them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.loads = 0, 0

    def load_weights(self, weights: Any) -> None:
        self.loads += 1
        (self.weight,) = [int(value) for _, value in weights]

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        return [Generation("", (self.weight, self.loads)) for _ in batch]


def remembering() -> Parts:
    return EnvPool(CountingEnv), Remembering()


def test_weights_are_read_once_per_update_by_each_worker_with_a_job() -> None:
    import torch

    model = torch.nn.Linear(1, 1, bias=False)
    settings = RolloutConfig(engine="ray", workers=1)
    workers = ray_stream(remembering, {"": CountingEnv()}, settings)
    seen = []
    for version, value in enumerate((3.0, 5.0)):
        torch.nn.init.constant_(model.weight, value)
        workers.offer(handed_out(ray, model.named_parameters(), version))
        for part in workers.run(jobs(2)):
            seen.append(part.episodes[0].steps[0].generation)
    os.kill(int(places(workers)[0]), signal.SIGKILL)
    (part,) = workers.run(jobs(1))
    workers.close()
    assert [each.token_ids for each in seen] == [(3, 1), (3, 1), (5, 2), (5, 2)]
    assert {each.version for each in seen} == {None}  # nothing is sampled ahead
    assert part.episodes[0].steps[0].generation.token_ids == (5, 1)  # a new one, with today's


def test_a_job_brings_weights_and_older_ones_than_an_actor_was_offered_are_not_loaded() -> None:
    actor = RolloutActor(remembering, "/nowhere")
    actor.start()
    older, newer = (
        Weights(version, lambda policy, v=version: policy.load_weights([("", v)]))
        for version in (1, 2)
    )
    found = [actor.run(jobs(1)[0], weights) for weights in (older, newer, older)]
    said = [each.episodes[0].steps[0].generation.token_ids for each in found]
    assert said == [(1, 1), (2, 2), (2, 2)]


def test_work_begins_with_the_first_worker_and_does_not_wait_for_room(make: Make) -> None:
    first = make(workers=2)
    settings = RolloutConfig(engine="ray", workers=2)
    second = ray_stream(remembering, {"": CountingEnv()}, settings)
    assert len(places(second)) == 1  # of three processors, two are taken
    assert len(second.run(jobs(2))) == 2
    second.close()
    assert as_json(first.run(jobs(3))) == expected(3)


def counting(folder: str) -> Parts:
    class Noting(CountingEnv):
        def world_step(self, action: str) -> str | None:
            Path(folder, f"{os.getpid()}-{time.monotonic_ns()}").touch()
            return None

    return EnvPool(Noting), Drawing()


def test_no_worker_is_given_more_than_one_unit_before_it_has_answered(
    make: Make, tmp_path: Path
) -> None:
    """A job that waits for its driver waits at the driver, where it costs nothing."""
    workers = make(parts=partial(counting, str(tmp_path)), workers=2)
    at_once, most = list[Job](), list[int]()
    for runner in workers._runners:

        def noting(job: Job, wanted: Any, run: Any = runner.run) -> Result:
            at_once.append(job)
            most.append(len(at_once))
            result: Result = run(job, wanted)
            at_once.remove(job)
            return result

        runner.run = noting  # type: ignore[method-assign]
    workers.run(jobs(12))
    assert len(most) == 12
    assert max(most) == 2


def test_more_workers_than_the_cluster_has_processors_are_refused(make: Make) -> None:
    with pytest.raises(BadOption, match="4 workers of 1 processors each do not fit .* of 3"):
        make(workers=4)
    with pytest.raises(BadOption, match="GPUs"):
        make(workers=1, gpus=1000)


def test_settings_are_checked() -> None:
    tree = {"out": "x", "env": {"id": "x"}, "model": {"path": "x"}, "budget": {"updates": 1}}
    with pytest.raises(UnknownName, match="Did you mean 'rollout.workers'"):
        make_config(tree | {"rollout": {"worker": 2}})
    with pytest.raises(BadOption, match=r"rollout\.engine.*'local' or 'ray'.*'rya'"):
        make_config(tree | {"rollout": {"engine": "rya"}})
    assert make_config(tree | {"rollout": {"engine": "ray"}}).rollout.groups_per_job == 8
    assert make_config(tree).rollout.groups_per_job is None


def test_without_ray_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"srl-env\[ray\]"):
        ray_stream(remembering, {"": CountingEnv()}, RolloutConfig(engine="ray"))


def test_nothing_of_ray_is_imported_without_it() -> None:
    names = "srl_env, srl_agents.training.trainer, srl_agents.cli"
    code = f"import {names}, sys; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

"""Rollouts on Ray's workers against rollouts in this process, in one run.

    python benchmarks/ray_engine.py
    python benchmarks/ray_engine.py --workers 1 2 4 --repeats 3 --delay-ms 50

Needs the extra ``ray``. The same episodes are run in this process, all at once, and in jobs of 8
groups by 1, 2 and 4 workers of a cluster on this machine. What is counted is what waits, as a
sandbox or a server does, so that more workers than processors make sense:

- nothing: short episodes that cost microseconds; what is left is the way through Ray.
- worlds, side by side: steps that wait in environments with ``slow_world``, of which a process has
  32 waiting at once in threads.
- worlds, one by one: the same where a world must not be stepped in threads.
- worlds and the policy: each call of the policy waits as well, as a server or a GPU does; in one
  process the worlds stand still meanwhile.

Each number is the best of several runs taken in turn: episodes per second, and in brackets how
many times that of this process. Starting cluster and workers is not counted, and printed. Then:
weights of some sizes, handed out to all workers, from the model to the last worker's memory.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from srl_agents.collection.ray.packed_weights import handed_out
from srl_agents.collection.ray.runners import ray_stream
from srl_agents.collection.runners import Job, LocalRollouts, Rollouts
from srl_agents.collection.stream import JobStream
from srl_agents.runs.config import RolloutConfig
from srl_env.policy import Generation, Sampling
from srl_env.rollout import EnvPool, Start
from srl_env.testing import CountingEnv, SlowWorldEnv
from srl_env.text.prompt import Messages

COPIES, GROUPS, STEPS = 8, 8, 8  # of a group, in a job, of an episode


@dataclass(frozen=True, slots=True)
class Work:
    """Episodes of 8 steps, and what waits in them, in seconds."""

    name: str
    jobs: int
    world_s: float = 0.0
    policy_s: float = 0.0
    side_by_side: bool = True
    copies: int = COPIES

    def parts(self) -> tuple[EnvPool, Waiting]:
        """Environments and policy, here or in a worker."""
        return EnvPool(self.env), Waiting(self.policy_s)

    def env(self) -> CountingEnv:
        """A world that waits, or none."""
        if not self.world_s:
            return CountingEnv()
        return SlowWorldEnv(self.world_s) if self.side_by_side else OneByOne(self.world_s)

    def all_jobs(self, together: bool) -> list[Job]:
        """The episodes in jobs of 8 groups, or in a single one."""
        options = {"problem": 2, "reward_mode": "rlvr", "max_steps": STEPS}
        groups = range(self.jobs * GROUPS)
        starts = [Start(options, seed=g, group=g) for g in groups for _ in range(self.copies)]
        size = len(starts) if together else GROUPS * self.copies
        return [
            Job(tuple(starts[i : i + size]), Sampling(), seed=i)
            for i in range(0, len(starts), size)
        ]

    @property
    def episodes(self) -> int:
        """How many there are."""
        return self.jobs * GROUPS * self.copies


class OneByOne(SlowWorldEnv):
    """A world that must not be stepped in threads."""

    slow_world = False


class Waiting:
    """Says a number and takes its time for each batch; takes weights and keeps them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.weights: dict[str, Any] = {}

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        """The same for every prompt, with as many ids as a step of 64 tokens has."""
        time.sleep(self.seconds)
        said = Generation("<think></think>say 1", (1,) * 64, (-0.5,) * 64, (1,) * 256)
        return [said for _ in batch]

    def load_weights(self, weights: Any) -> None:
        """Copies them, as a model does."""
        self.weights = {name: value.clone() for name, value in weights}


def main() -> None:
    """Prints both tables."""
    options = _arguments()
    import ray

    began = time.perf_counter()
    ray.init(
        address="local",
        num_cpus=sum(options.workers),  # all take turns
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=2 * 2**30,
    )
    print(f"a cluster starts in {time.perf_counter() - began:.1f} s\n")
    wait = options.delay_ms / 1000
    works = (
        Work("nothing", jobs=8),
        Work("worlds, side by side", jobs=4, world_s=wait),
        Work("worlds, one by one", jobs=4, world_s=wait / 5, side_by_side=False, copies=2),
        Work("worlds and the policy", jobs=4, world_s=wait, policy_s=2 * wait),
    )
    columns = "".join(f"{f'{count} workers':>16}" for count in options.workers)
    print(f"{'what waits':24}{'in process':>12}{columns}   (episodes per second)")
    for work in works:
        print(_line(work, options.workers, options.repeats), flush=True)
    print(f"\n{'weights, MB':24}{'':12}{columns}   (seconds to all workers)")
    for size in options.weights_mb:
        print(_weights_line(size, options.workers, options.repeats), flush=True)
    ray.shutdown()


def _line(work: Work, counts: Sequence[int], repeats: int) -> str:
    engines: list[Rollouts] = [LocalRollouts(*work.parts())]
    engines += [_workers(work.parts, count) for count in counts]
    calls = [
        partial(engine.run, work.all_jobs(together=engine is engines[0])) for engine in engines
    ]
    best = [work.episodes / seconds for seconds in _best_seconds(calls, repeats)]
    for engine in engines:
        engine.close()
    cells = "".join(f"{speed:8.1f} ({speed / best[0]:4.2f})" for speed in best[1:])
    return f"{work.name:24}{best[0]:12.1f}{cells}"


def _weights_line(megabytes: int, counts: Sequence[int], repeats: int) -> str:
    import ray
    import torch

    versions = itertools.count()
    model = torch.nn.Linear(512, megabytes * 2**20 // 4 // 512, bias=False)
    work = Work("weights", jobs=1, copies=2)
    best = []
    for count in counts:
        workers = _workers(work.parts, count)
        small = Job((Start({"problem": 0, "max_steps": 1}, seed=0),), Sampling(), seed=0)

        def hand_out(workers: JobStream = workers, small: Job = small, n: int = count) -> None:
            workers.offer(handed_out(ray, model.named_parameters(), next(versions)))
            workers.run([small] * n)

        best += _best_seconds([hand_out], repeats + 1)
        workers.close()
    return f"{megabytes:<24}{'':12}" + "".join(f"{seconds:16.2f}" for seconds in best)


def _workers(parts: Callable[[], Any], count: int) -> JobStream:
    settings = RolloutConfig(engine="ray", workers=count)
    return ray_stream(parts, {"": CountingEnv()}, settings)


def _best_seconds(calls: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """The shortest time of each call, of several rounds through all of them."""
    best = [float("inf")] * len(calls)
    for _ in range(repeats):
        for number, call in enumerate(calls):
            began = time.perf_counter()
            call()
            best[number] = min(best[number], time.perf_counter() - began)
    return best


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--delay-ms", type=float, default=100.0, help="of a step in the world")
    parser.add_argument("--weights-mb", type=int, nargs="+", default=[1, 64, 256])
    return parser.parse_args()


if __name__ == "__main__":
    main()

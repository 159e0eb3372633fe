"""How long an update takes when workers sample ahead of it: a model of throughput.

The learner updates for ``update_s`` and hands over weights for ``push_s``. Workers run jobs of
``job_s`` each. Of three bounds on the seconds from one update to the next, the largest holds:

- the learner: update_s + push_s;
- the workers: the jobs of an update, divided among them, and the loading of its weights;
- staleness: a job begins when an update begins to collect, and is used n updates later at the
  latest. So its slowest job and n + 1 updates take at most n + 1 times the seconds, less the n
  updates that overlap with it: (n + 1) · seconds ≥ sampling + update_s + push_s.

With n = 0, sampling, loading and updating follow one another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

Bound = Literal["learner", "workers", "staleness"]


@dataclass(frozen=True, slots=True)
class Rates:
    """What a run is made of.

    update_s, push_s: of the learner, without waiting. job_s, job_std_s: mean and std of a job.
    groups: that an update takes, those without a signal and dropped ones included. workers: jobs at
    the same time. job_groups: groups of a job. load_s: of new weights, in which a worker waits.
    failures_per_s: of one worker, which loses half a job and takes ``recovery_s`` to return.
    restarts_per_s: of the learner, each of which loses ``restart_s``, work since the last
    checkpoint included.
    """

    update_s: float
    job_s: float
    groups: float
    workers: float
    max_staleness: int
    job_groups: float = 1.0
    job_std_s: float = 0.0
    push_s: float = 0.0
    load_s: float = 0.0
    failures_per_s: float = 0.0
    recovery_s: float = 0.0
    restarts_per_s: float = 0.0
    restart_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Throughput:
    """seconds: from one update to the next, restarts included. idle_fraction: of the learner.
    staleness: the mean, in updates. bound: what decides the seconds."""

    seconds: float
    idle_fraction: float
    staleness: float
    bound: Bound


def predict_throughput(rates: Rates) -> Throughput:
    """The seconds of an update, and what they are spent on."""
    learner, ahead = rates.update_s + rates.push_s, rates.max_staleness > 0
    job_s = rates.job_s * (1 + rates.failures_per_s * (rates.recovery_s + rates.job_s / 2))
    jobs = rates.groups / rates.job_groups
    divided = jobs * job_s / rates.workers + rates.load_s
    slowest = job_s + rates.job_std_s * _expected_max(jobs) + rates.load_s
    bounds: dict[Bound, float] = {
        "learner": learner,
        "workers": divided if ahead else 0.0,
        "staleness": (max(divided, slowest) + learner) / (rates.max_staleness + 1),
    }
    bound = max(bounds, key=lambda name: bounds[name])
    seconds = bounds[bound]
    staleness = float(rates.max_staleness)
    if bound == "workers":  # nothing waits for the learner
        staleness = min(staleness, job_s / seconds)
    restarts = 1 + rates.restarts_per_s * rates.restart_s
    return Throughput(seconds * restarts, 1 - learner / seconds, staleness, bound)


def _expected_max(count: float) -> float:
    """Of so many standard normal numbers (Blom's approximation); 0 for one."""
    return NormalDist().inv_cdf((max(count, 1.0) - 0.375) / (max(count, 1.0) + 0.25))


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU's data sheet times what is reached of it. hours: between two failures.

    Defaults: 80 GB, 60 % of 3.35 TB/s, 35 % of 990 TFLOP/s in bfloat16.
    """

    memory_bytes: float = 80e9
    bytes_per_s: float = 0.6 * 3.35e12
    flops_per_s: float = 0.35 * 990e12
    hours: float = 50_000.0


@dataclass(frozen=True, slots=True)
class Task:
    """What an update is made of.

    parameters: of the model. token_bytes: keys and values of a token. prompt: tokens before the
    first step. step, steps: sampled tokens of a step, and steps of an episode. wait_s, wait_std_s:
    for the environment, per step of a group. groups, group_size: of an update. transfer_s: of new
    weights into a sampler.
    """

    parameters: float
    token_bytes: float
    prompt: int
    step: int
    steps: int
    wait_s: float
    wait_std_s: float
    groups: int
    group_size: int
    transfer_s: float


def rates_on(
    task: Task, learners: int, samplers: int, max_staleness: int, gpu: Gpu | None = None
) -> Rates | None:
    """The rates of a run; None if the model does not fit.

    learners: GPUs that hold 16 bytes for each parameter together, in at most 60 % of their memory.
    samplers: GPUs that each hold 2 bytes for each parameter, and keys and values in what 90 % of
    their memory leaves, of at most as many episodes as may be in flight during an update. With
    ``max_staleness`` 0 they may be the same GPUs, taking turns.
    A decoding step reads the weights and all keys and values. A position that is trained on costs
    8 operations for each parameter: forward, backward, and activations computed again.
    """
    gpu = gpu or Gpu()
    context = task.prompt + task.step * task.steps
    episodes = math.floor(
        (0.9 * gpu.memory_bytes - 2 * task.parameters) / (task.token_bytes * context)
    )
    at_once = max(1, max_staleness) * task.groups * task.group_size
    episodes = min(episodes, math.ceil(at_once / samplers))
    if 16 * task.parameters / learners > 0.6 * gpu.memory_bytes or episodes < 1:
        return None
    read = 2 * task.parameters + episodes * task.token_bytes * context / 2
    positions = task.groups * task.group_size * context
    return Rates(
        update_s=8 * task.parameters * positions / (learners * gpu.flops_per_s),
        job_s=task.steps * (task.step * read / gpu.bytes_per_s + task.wait_s),
        job_std_s=math.sqrt(task.steps) * task.wait_std_s,
        groups=task.groups,
        workers=samplers * episodes / task.group_size,
        max_staleness=max_staleness,
        load_s=task.transfer_s,
        failures_per_s=1 / (3600 * gpu.hours),
        recovery_s=300.0,
        restarts_per_s=learners / (3600 * gpu.hours),
        restart_s=1800.0,
    )

"""What an environment costs without a model: a step, ten thousand environments, the import.

    python benchmarks/environment.py

Steps are timed one by one in CPU time of this thread, and the median is given. A scored step
compares 40 characters with the expert's 40, as SRL does. CPU seconds are those of this process.
Ratios compare with the named alternative in the same run.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gymnasium.vector import AutoresetMode, SyncVectorEnv

from srl_env.batch.vector import VectorEnv
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.testing import CountingEnv, CountingVerifier, SlowWorldEnv

STEPS = 20_000
ENVIRONMENTS = 10_000
ROUNDS = 6
SLOW = 32
IMPORTS = 9
LIMIT_US = 15.0
EXPERT = "we add the two numbers and get 12 + 7=19"
SIMILAR = "we add both numbers to get 12 + 7 = 20 !"

make: Callable[..., ReasoningEnv] = partial(CountingEnv, reward_mode="rlvr")


def main() -> None:
    """Measures everything and prints one table."""
    rows = [*step_rows(make(), "<think>on</think>say 1", "rlvr")]
    rows += step_rows(scored_env(), f"<think>on</think>{SIMILAR}", "srl, 40 characters")
    rows += [*many_rows(), *slow_rows(), *import_rows()]
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows))


def scored_env() -> ReasoningEnv:
    """A problem of nine equal steps, the last of which no episode here reaches."""
    steps = tuple(ExpertStep(EXPERT) for _ in range(9))
    problem = Problem("sum", "Add some numbers.", "19", (ExpertTrajectory(steps),))
    source = ListSource((problem,), "sums/train")
    return ReasoningEnv(source, CountingVerifier(), reward_mode="srl")


def step_rows(env: ReasoningEnv, completion: str, mode: str) -> list[tuple[str, str]]:
    """The cost of step and reset."""
    steps_us, resets_us, options = [], [], {"problem": len(env.problems) - 1, "max_steps": 8}
    while len(steps_us) < STEPS:
        resets_us.append(_microseconds(partial(env.reset, options=options)))
        steps_us += [_microseconds(partial(env.step, completion)) for _ in range(8)]
    median = statistics.median(steps_us)
    verdict = "within" if median <= LIMIT_US else "ABOVE"
    p90 = statistics.quantiles(steps_us, n=10)[-1]
    return [
        (f"step, {mode}, median", f"{median:.1f} µs ({verdict} {LIMIT_US:.0f} µs)"),
        (f"step, {mode}, 90th percentile", f"{p90:.1f} µs"),
        (f"reset, {mode}, median", f"{statistics.median(resets_us):.1f} µs"),
    ]


def many_rows() -> list[tuple[str, str]]:
    """Memory and speed of many environments, against Gymnasium's SyncVectorEnv."""
    gc.collect()
    before = _resident_bytes()
    start = time.process_time()
    ours = VectorEnv([make] * ENVIRONMENTS, autoreset_mode=AutoresetMode.SAME_STEP)
    ours.reset(seed=0)
    built = time.process_time() - start
    memory = _resident_bytes() - before
    theirs = SyncVectorEnv([make] * ENVIRONMENTS, autoreset_mode=AutoresetMode.SAME_STEP)
    theirs.reset(seed=0)
    fast, slow = _steps_per_second(ours, theirs)
    return [
        (f"{ENVIRONMENTS:,} environments, made and reset", f"{built:.2f} CPU s"),
        (
            f"{ENVIRONMENTS:,} environments, memory",
            f"{memory / 2**20:.0f} MiB ({memory / ENVIRONMENTS / 2**10:.1f} KiB each)",
        ),
        (f"VectorEnv of {ENVIRONMENTS:,}", f"{fast:,.0f} steps per CPU s"),
        (f"Gymnasium's SyncVectorEnv of {ENVIRONMENTS:,}", f"{slow:,.0f} steps per CPU s"),
        ("VectorEnv to SyncVectorEnv", f"{fast / slow:.2f} times"),
    ]


def slow_rows() -> list[tuple[str, str]]:
    """Worlds that wait 10 ms for each answer, against Gymnasium's SyncVectorEnv."""
    makers = [partial(SlowWorldEnv, delay_s=0.01, reward_mode="rlvr")] * SLOW
    seconds = []
    for envs in (VectorEnv(makers), SyncVectorEnv(makers)):
        envs.reset(seed=0)
        start = time.perf_counter()
        envs.step(["<think></think>say 1"] * SLOW)
        seconds.append(time.perf_counter() - start)
    return [
        (f"{SLOW} worlds of 10 ms, VectorEnv", f"{seconds[0] * 1e3:.0f} ms a step"),
        (f"{SLOW} worlds of 10 ms, SyncVectorEnv", f"{seconds[1] * 1e3:.0f} ms a step"),
        ("SyncVectorEnv to VectorEnv", f"{seconds[1] / seconds[0]:.1f} times"),
    ]


def import_rows() -> list[tuple[str, str]]:
    """`import srl_env` against `import gymnasium`, each in fresh processes, turn by turn."""
    seconds: dict[str, list[float]] = {"gymnasium": [], "srl_env": []}
    for _ in range(IMPORTS):
        for package, measured in seconds.items():
            measured.append(_import_seconds(package))
    gymnasium, ours = (statistics.median(measured) for measured in seconds.values())
    return [
        (f"import gymnasium, median of {IMPORTS}", f"{gymnasium * 1e3:.0f} ms CPU"),
        (f"import srl_env, median of {IMPORTS}", f"{ours * 1e3:.0f} ms CPU"),
        ("import srl_env to import gymnasium", f"{ours / gymnasium:.2f} times"),
    ]


def _microseconds(call: Callable[[], object]) -> float:
    start = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - start) / 1e3


def _steps_per_second(*competitors: VectorEnv | SyncVectorEnv) -> list[float]:
    """Steps per CPU second of each, turn by turn; every third step ends its episode."""
    actions = ["<think></think>say 1", "<think></think>say 2", "<think></think>the sum=3!"]
    seconds = [0.0] * len(competitors)
    for i in range(ROUNDS):
        for which, envs in enumerate(competitors):
            start = time.process_time()
            envs.step([actions[i % 3]] * ENVIRONMENTS)
            seconds[which] += time.process_time() - start
    return [ROUNDS * ENVIRONMENTS / taken for taken in seconds]


def _import_seconds(package: str) -> float:
    code = f"import time; start = time.process_time(); import {package}; "
    code += "print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _resident_bytes() -> int:
    """The memory of this process that is in use (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()

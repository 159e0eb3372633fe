"""The cost of ``srl/SWE-v0`` beside plain, unisolated alternatives on the same task.

    python benchmarks/swe.py [--rounds 10] [--tasks DIR]

Prints medians and minima in milliseconds. The alternatives take turns within a round:

- a reset, and copying the repository;
- ``start_step`` from kept snapshots, and executing the commands;
- a step, and the command in a plain subprocess;
- a grade, and plain pytest.

Then it prints grades per second, with one thread per core, and the memory of an idle session.
``sandbox.py`` measures the sandbox alone, ``grading.py`` grading alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import srl_env
from srl_env.grading import grade
from srl_env.text.tool_calls import ToolCall
from srl_tasks.swe.env import SWEEnv, shared_sandbox
from srl_tasks.swe.replays import Replays

COMMAND = "grep -rn import --include=*.py . | wc -l"
CALL = ToolCall("bash", {"command": COMMAND}).render()
GRADES, IDLE = 40, 20


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tasks", type=Path)
    args = parser.parse_args()
    options = {"path": args.tasks} if args.tasks else {}
    env = srl_env.make("srl/SWE-v0", split="all", **options).unwrapped
    assert isinstance(env, SWEEnv)
    env.reset(seed=0, options={"reward_mode": "rlvr"})
    with tempfile.TemporaryDirectory() as folder:
        cases = ways(env, Path(folder))
        found: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(args.rounds):
            for name, case in cases.items():
                found[name].append(case())
    print(f"task {env.problem.id}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':44}{'median':>9}{'best':>9}   ms")
    for name, times in found.items():
        print(f"{name:44}{statistics.median(times) * 1e3:9.1f}{min(times) * 1e3:9.1f}")
    print(f"{'grades a second, all cores':44}{grades_a_second(env):9.1f}")
    print(f"{'memory of an idle session, MiB':44}{idle_mebibytes(env):9.1f}")
    env.close()


def ways(env: SWEEnv, folder: Path) -> dict[str, Callable[[], float]]:
    """Each thing that is measured, as a function that returns its seconds."""
    tasks = env.task_set
    task = tasks.task(env.problem.id)
    tree, grading, gold = tasks.tree(task), tasks.grading_task(task), tasks.gold_snapshot(task)
    last = len(task.steps) - 1
    begin = {"reward_mode": "rlvr", "problem": task.id}
    fixed = shutil.copytree(tasks.code(task), folder / "fixed")

    def reset(start_step: int = 0, kept: bool = True) -> float:
        if not kept:
            env.replays = Replays()
        return timed(lambda: env.reset(options={**begin, "start_step": start_step}))

    def step() -> float:
        env.reset(options=begin)
        return timed(lambda: env.step(CALL))

    sandbox = shared_sandbox(os.getpid(), *env.sandbox_choice)
    pytest = [sys.executable, "-m", "pytest", "-qq", "-p", "no:cacheprovider", *grading.tests]
    return {
        "reset": reset,
        "reset by copying the repository": lambda: copied(tree, folder / "copy"),
        f"reset to start_step {last}, kept": lambda: reset(last),
        f"reset to start_step {last}, executed": lambda: reset(last, kept=False),
        "step: a shell command": step,
        "the command in a plain subprocess": lambda: plain(["bash", "-c", COMMAND], tree),
        f"grade: {len(grading.tests)} tests, {len(grading.cases)} calls": lambda: timed(
            lambda: grade(sandbox, grading, gold)
        ),
        "the tests in plain pytest": lambda: plain(pytest, fixed),
    }


def copied(tree: Path, target: Path) -> float:
    """Seconds of a copy, which is deleted again."""
    seconds = timed(lambda: shutil.copytree(tree, target))
    shutil.rmtree(target)
    return seconds


def plain(command: list[str], folder: Path) -> float:
    """Seconds of a command that must succeed."""
    return timed(lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True))


def timed(action: Callable[[], Any]) -> float:
    """Seconds an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def grades_a_second(env: SWEEnv) -> float:
    """Grades of the right change, from one thread a core."""
    tasks = env.task_set
    task = tasks.task(env.problem.id)
    grading, gold = tasks.grading_task(task), tasks.gold_snapshot(task)
    sandbox = shared_sandbox(os.getpid(), *env.sandbox_choice)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        began = time.perf_counter()
        done = list(threads.map(lambda _: grade(sandbox, grading, gold).resolved, range(GRADES)))
        assert all(done)
        return GRADES / (time.perf_counter() - began)


def idle_mebibytes(env: SWEEnv) -> float:
    """Memory of the machine that a session takes which waits, by the machine's own count."""
    envs = [SWEEnv(env.task_set.folder, split="all") for _ in range(IDLE)]
    before = available_bytes()
    for one in envs:
        one.reset(seed=0, options={"reward_mode": "rlvr"})
    taken = before - available_bytes()
    for one in envs:
        one.close()
    return taken / IDLE / 2**20


def available_bytes() -> int:
    """Memory that programs could have."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":") for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024


if __name__ == "__main__":
    main()

"""Measures isolation: sessions and steps of the namespaces backend beside the alternatives.

    python benchmarks/sandbox.py [--rounds 30] [--json FILE]

Medians and minima (a busy machine disturbs minima less) in milliseconds, all in one run:
a command in a plain subprocess, in bubblewrap where it is installed (a sandbox for each command),
and in a session; a session's start and end; resetting a 5,000-file tree by a fresh session and by
copying; memory of an idle session.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from srl_env.sandbox import LocalSandbox, NamespaceSandbox, Sandbox, Session
from srl_env.sandbox.interpreter import own_interpreter

PYTHON = own_interpreter().executable
FOLDERS = [*("--ro-bind", "/usr", "/usr"), *("--ro-bind", sys.base_prefix, sys.base_prefix)]
LINKS = [("usr/bin", "/bin"), ("usr/lib", "/lib"), ("usr/lib64", "/lib64")]
BUBBLEWRAP = [
    *("bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
    *("--clearenv", *FOLDERS, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
    *(part for source, target in LINKS for part in ("--symlink", source, target)),
]
COMMANDS = {"true": ["true"], "bash": ["bash", "-c", "true"], "python": [PYTHON, "-I", "-c", ""]}
FILES = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), arguments.rounds)
    load = os.getloadavg()[0]
    print(f"{'':34}{'median':>9}{'best':>9}   ms; load {load:.1f} on {os.cpu_count()} cores")
    for name, times in found.items():
        median, best = statistics.median(times), min(times)
        print(f"{name:34}{median * 1e3:9.2f}{best * 1e3:9.2f}")
    if arguments.json:
        medians = {name: statistics.median(times) for name, times in found.items()}
        arguments.json.write_text(json.dumps({"load": load, "seconds": medians}, indent=1))


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, by what was measured; alternatives take turns within a round."""
    small, large = folder / "small", folder / "large"
    make_tree(small, 20)
    make_tree(large, FILES)
    found: dict[str, list[float]] = {}
    sandbox = NamespaceSandbox()
    local = LocalSandbox()
    sandbox.start(small).close()
    with sandbox.start(small) as session, local.start(small) as plain_session:
        for _ in range(rounds):
            for name, command in COMMANDS.items():
                cases = command_cases(name, command, session, plain_session)
                for label, action in cases.items():
                    found.setdefault(label, []).append(timed(action))
            for label, tree in (("20 files", small), (f"{FILES} files", large)):
                started, closed = start_and_close(sandbox, tree)
                found.setdefault(f"session start, {label}", []).append(started)
                found.setdefault(f"session end, {label}", []).append(closed)
        for _ in range(max(1, rounds // 10)):
            found.setdefault(f"copytree, {FILES} files", []).append(
                timed(lambda: shutil.copytree(large, folder / "copy"))
            )
            shutil.rmtree(folder / "copy")
    print(f"memory of an idle session: {idle_memory(sandbox, small) / 2**20:.1f} MiB")
    for each in (sandbox, local):
        each.close()
    return found


def command_cases(
    name: str, command: list[str], session: Session, plain_session: Session
) -> dict[str, Callable[[], object]]:
    """Runners of one command that work here, by name."""
    cases: dict[str, Callable[[], object]] = {
        f"{name}: plain subprocess": lambda: subprocess.run(command, capture_output=True),
        f"{name}: step of a session": lambda: session.run(command),
        f"{name}: step, local backend": lambda: plain_session.run(command),
    }
    if shutil.which("bwrap"):
        wrapped = [*BUBBLEWRAP, *command]
        cases[f"{name}: bubblewrap"] = lambda: subprocess.run(wrapped, capture_output=True)
    return cases


def start_and_close(sandbox: Sandbox, tree: Path) -> tuple[float, float]:
    """Seconds until a session can run commands, and until nothing of it is left."""
    started = time.perf_counter()
    session = sandbox.start(tree)
    ready = time.perf_counter()
    session.close()
    return ready - started, time.perf_counter() - ready


def idle_memory(sandbox: Sandbox, tree: Path, count: int = 20) -> float:
    """Memory of the machine, in bytes, that each of several idle sessions uses."""
    before = available_bytes()
    sessions = [sandbox.start(tree) for _ in range(count)]
    used = before - available_bytes()
    for session in sessions:
        session.close()
    return used / count


def available_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


def make_tree(folder: Path, files: int) -> None:
    for number in range(files):
        path = folder / f"package{number // 50}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"value = {number}\n" * 20)


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

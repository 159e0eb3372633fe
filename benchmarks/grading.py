"""Measures grading, beside plain unisolated pytest on the same three tests.

    python benchmarks/grading.py [--rounds 10]

Medians and minima in milliseconds, alternatives take turns; every round grades a correct change.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from srl_env.grading import GradingTask, OracleCase, grade, warm_judges
from srl_env.sandbox import Change, Sandbox, Snapshot, open_sandbox

SOURCE = "def total(prices, discount=0.0):\n    return sum(prices)\n"
FIXED = SOURCE.replace("sum(prices)", "sum(prices) * (1 - discount)")
TESTS = """from shop.prices import total
def test_a_discount_is_taken_off(): assert total([10, 20], 0.5) == 15
def test_no_discount_is_the_sum(): assert total([1, 2, 3]) == 6
def test_nothing_costs_nothing(): assert total([]) == 0
"""
FILE, MODULE = "tests/test_prices.py", "shop/prices.py"
NAMES = ("a_discount_is_taken_off", "no_discount_is_the_sum", "nothing_costs_nothing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    cold, warm = open_sandbox(), open_sandbox(preload=warm_judges())
    with tempfile.TemporaryDirectory() as folder:
        found = measure(alternatives(Path(folder), cold, warm), rounds)
    for sandbox in (cold, warm):
        sandbox.close()
    print(f"{'':34}{'median':>9}{'best':>9}   ms; load {os.getloadavg()[0]:.1f}")
    for name, times in found.items():
        print(f"{name:34}{statistics.median(times) * 1e3:9.1f}{min(times) * 1e3:9.1f}")


def alternatives(folder: Path, cold: Sandbox, warm: Sandbox) -> dict[str, Callable[[], bool]]:
    """Graders by name; each returns whether it found the change correct."""
    tree, plain = folder / "tree", folder / "plain"
    for root, source in ((tree, SOURCE), (plain, FIXED)):
        for name, text in {"shop/__init__.py": "", MODULE: source, FILE: TESTS}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    change = Change("modified", MODULE, "file", 0o644, len(FIXED), 1)
    patch = Snapshot((change,), (FIXED.encode(),))
    setup = "from shop.prices import total"
    task = GradingTask(
        tree=tree,
        hidden={FILE: TESTS.encode()},
        fail_to_pass=tuple(f"{FILE}::test_{name}" for name in NAMES),
        cases=(OracleCase("half off", setup, "total([10, 20], 0.5)", 15.0),),
        trust="inprocess",
    )
    controlled = replace(task, trust="controlled", controls=2)
    oracle = replace(task, trust="oracle", fail_to_pass=())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", FILE]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def plain_pytest() -> bool:
        done = subprocess.run(command, cwd=plain, env=environment, capture_output=True)
        return done.returncode == 0

    return {
        "plain python -m pytest": plain_pytest,
        "inprocess, pytest preloaded": lambda: grade(warm, task, patch).resolved,
        "inprocess, pytest started anew": lambda: grade(cold, task, patch).resolved,
        "controlled (2 controls), preloaded": lambda: grade(warm, controlled, patch).resolved,
        "oracle, preloaded": lambda: grade(warm, oracle, patch).resolved,
    }


def measure(cases: dict[str, Callable[[], bool]], rounds: int) -> dict[str, list[float]]:
    """Seconds by alternative; the first round warms up and does not count."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, judge in cases.items():
            started = time.perf_counter()
            if not judge():
                raise SystemExit(f"{name}: the correct change was not resolved")
            if number:
                found[name].append(time.perf_counter() - started)
    return found


if __name__ == "__main__":
    main()

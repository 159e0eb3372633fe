"""The loop in one file: it learns, stays short, and uses public names only."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import mean

from examples import loop

SOURCE = Path(loop.__file__).read_text(encoding="utf-8")


def test_the_mean_reward_rises_by_a_third_over_three_seeds() -> None:
    curves = [loop.train(seed) for seed in range(3)]
    rises = [mean(curve[-5:]) - mean(curve[:2]) for curve in curves]
    assert mean(rises) >= 0.3
    assert min(rises) > 0


def test_the_loop_has_at_most_150_lines_and_imports_from_public_packages() -> None:
    modules = [n.module for n in ast.walk(ast.parse(SOURCE)) if isinstance(n, ast.ImportFrom)]
    ours = [name for name in modules if name and name.startswith(("srl_env", "srl_agents"))]
    assert len(SOURCE.splitlines()) <= 150
    assert all(name.count(".") <= 1 for name in ours)

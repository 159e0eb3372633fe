"""The example of software engineering runs from nothing to its results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_example_runs_on_the_tasks_that_ship(tmp_path: Path) -> None:
    settings = ["--pretrain-updates", "3", "--srl-updates", "1", "--rlvr-updates", "1"]
    settings += ["--problems", "2", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "examples/swe.py", *settings],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "call similarity, sampled:" in done.stdout
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["after"]["problem_ids"] == results["before"]["problem_ids"]
    assert not results["after"]["failures"]

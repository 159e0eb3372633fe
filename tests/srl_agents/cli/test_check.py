"""Checks from the command line end, also where the checked code does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

UNREACHED = """
from srl_agents.cli import check as checking
from srl_env.check import Checker, robustness
from srl_env.testing import SlowWorldEnv

robustness.DEADLINE_S = robustness._GRACE_S = 0.1


class Counting(SlowWorldEnv):
    slow_world = False

    def world_step(self, action):
        if action.startswith("say ") and "9" in action:
            return str(sum(range(10**13)))  # looks for no signals
        return super().world_step(action)


checking._check(Checker(Counting(), seconds=1.0))
"""


def test_c_code_that_no_alarm_reaches_ends_the_check_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "counting.py"
    file.write_text(UNREACHED)
    done = subprocess.run(
        [sys.executable, file], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert f'File "{file}", line' in done.stderr

"""The plug-in in runs of pytest of their own: it passes, fails and skips as the checks do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = 'pytest_plugins = ["srl_env.testing.plugin"]\n'
GOOD = """
import pytest
from srl_env.testing import CountingEnv

@pytest.mark.srl_env(CountingEnv, hostile=50)
def test_counting(env_check):
    env_check()
"""
BROKEN = """
import pytest
from srl_env.testing import CountingEnv

class Broken(CountingEnv):
    def legal(self, problem, actions, action):
        return False

@pytest.mark.srl_env(Broken(), hostile=50)
def test_broken(env_check):
    env_check()
"""
BY_ID = """
import pytest

@pytest.mark.srl_env("srl/ModularChain-v0", difficulty=2, hostile=50)
def test_chain(env_check):
    env_check()

def test_unmarked(env_check):
    env_check()
"""


def run(folder: Path, test: str, *options: str) -> str:
    """What pytest says of a test file beside a conftest that asks for the plug-in."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *options]
    done = subprocess.run([*command, "."], cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_good_environment_passes_and_says_what_was_skipped(tmp_path: Path) -> None:
    output = run(tmp_path, GOOD, "--strict-markers", "-W", "error")
    assert "20 passed, 1 skipped" in output
    assert "the class takes no split" in output


def test_a_broken_environment_fails_in_the_one_check_with_the_finding_alone(tmp_path: Path) -> None:
    output = run(tmp_path, BROKEN)
    assert "1 failed, 19 passed, 1 skipped" in output
    assert "calls the expert's step 0 of problem" in output
    assert "where: test_it.py:6" in output
    assert "srl_env/check" not in output  # no traceback through our own code


def test_an_id_with_arguments_is_made_and_a_missing_marker_is_said(tmp_path: Path) -> None:
    output = run(tmp_path, BY_ID, "-k", "leaks or splits")
    assert "2 passed" in output
    assert "2 errors" in output
    assert "env_check needs @pytest.mark.srl_env(ENV)" in output


def test_the_fakes_need_no_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from srl_env.testing import CountingEnv; print(CountingEnv())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "CountingEnv('counting/train')\n", done.stderr


def test_the_plug_in_is_not_loaded_where_nobody_asks(pytestconfig: pytest.Config) -> None:
    assert not pytestconfig.pluginmanager.has_plugin("srl_env.testing.plugin")

"""A reward mode from outside the package: one new file, and one line that imports it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import srl_env
from srl_agents.cli.main import app
from srl_env.rewards.registry import _REGISTRY
from tests.srl_agents import letters

MODE = '''
from srl_env import StepRecord, reward_mode


@reward_mode("first-letter", reward_range=(0.0, 1.0))
def first_letter(step: StepRecord) -> float:
    """1 if the action begins with the answer."""
    return float(step.parsed.action.startswith(step.problem.answer))
'''
ENVIRONMENT = """
import first_letter
from tests.srl_agents.letters import Letters


class Own(Letters):
    pass
"""

RUN = """
out = '{out}'
env.id = '{env}'
model = {{path = '{base}', device = 'cpu'}}
method = 'rlvr'
budget.updates = 1
train = {{lr = 1e-2, batch = 4, objective = {{max_tokens = 4, reward_mode = 'first-letter'}}}}
"""


@pytest.fixture
def own_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment's file beside the file of the mode, which it imports."""
    (tmp_path / "first_letter.py").write_text(MODE, encoding="utf-8")
    (tmp_path / "own_letters.py").write_text(ENVIRONMENT, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path / "own_letters.py"
    _REGISTRY.pop("first-letter", None)
    for name in ("first_letter", "own_letters"):
        sys.modules.pop(name, None)


def test_a_mode_of_ones_own_is_chosen_by_name_for_one_episode(own_env: Path) -> None:
    env = srl_env.make(str(own_env))
    for mode, reward in (("first-letter", 1.0), ("srl", 0.25)):
        env.reset(seed=0, options={"problem": "a", "reward_mode": mode})
        assert env.step("abcd")[1] == reward


def test_a_mode_of_ones_own_is_chosen_by_name_in_the_shell_and_in_a_run(
    own_env: Path, tmp_path: Path
) -> None:
    shell, typed = CliRunner(), "a bc\n\n"
    options = ["--mode", "first-letter", "--episodes", "1", "--problem", "a"]
    played = shell.invoke(app, ["play", str(own_env), *options], input=typed)
    assert played.exit_code == 0, played.output
    assert "first-letter" in played.output

    run = RUN.format(env=own_env, base=letters.save_base(tmp_path / "base"), out=tmp_path / "run")
    (tmp_path / "run.toml").write_text(run, encoding="utf-8")
    trained = shell.invoke(app, ["train", str(tmp_path / "run.toml")])
    assert trained.exit_code == 0, trained.output
    rollouts = letters.lines(tmp_path / "run", "rollouts")
    assert {row["reward_mode"] for row in rollouts if "reward_mode" in row} == {"first-letter"}

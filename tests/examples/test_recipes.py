"""The recipes: their settings are the paper's, and each runs with a tiny model of its form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import srl_env
from srl_agents.cli.main import app
from srl_agents.objectives import GRPO
from srl_agents.runs.config import load_config, make_config
from srl_agents.runs.settings import read_tree, with_overrides
from srl_agents.training.run import train
from tests.srl_agents.letters import updates
from tests.srl_agents.nn.test_qwen_checkpoint import write_checkpoint
from tests.srl_env.data.forms.test_swe_trajectories import row

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "examples" / "recipes"
SMALL = [
    "model.device=cpu",
    "model.parallel=ddp",
    "model.autocast=false",
    "policy.sampler=transformers",
    "policy.engine={}",
    "budget.updates=2",
    "stages.srl.batch=2",
    "stages.srl.objective.max_tokens=8",
    "stages.srl.objective.min_std=0.0",
    "log.tensorboard=false",
]
SMALL_MATHS = [
    *SMALL,
    "env.options.source=sample",
    "stages.rlvr.batch=2",
    "stages.rlvr.objective.max_tokens=8",
    "stages.rlvr.objective.max_steps=2",
    "evaluation.problems=2",
    "evaluation.rollouts=1",
    "evaluation.max_tokens=8",
    "evaluation.max_steps=2",
]


@pytest.fixture
def trajectories(tmp_path: Path) -> Path:
    """Rows of ten instances, as SWE-smith's."""
    path = tmp_path / "trajectories.jsonl"
    rows = [row(instance_id=f"shop.{n}", traj_id=f"shop.{n}.abc") for n in range(10)]
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


def small(recipe: str, out: Path, overrides: list[str]) -> Any:
    """The recipe's run with a tiny model in the form of Qwen2.5's."""
    model = write_checkpoint(out / "model", tied=False)
    changed = [*overrides, f"model.path={model}", f"out={out / 'run'}"]
    return make_config(with_overrides(read_tree(RECIPES / recipe), changed))


@pytest.mark.parametrize("name", ["maths", "swe"])
def test_a_recipe_has_the_settings_of_the_paper(name: str) -> None:
    config = load_config(RECIPES / f"{name}.toml")
    assert config.model.path in ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-Coder-7B-Instruct")
    srl, *rest = config.resolved_method.stages
    assert isinstance(srl.objective, GRPO)
    assert (srl.name, srl.batch, srl.lr, srl.starts.targets) == ("srl", 512, 5e-7, "paper")
    assert [(stage.name, stage.batch, stage.lr) for stage in rest] == (
        [("rlvr", 128, 5e-7)] if name == "maths" else []
    )
    for stage in (srl, *rest):
        assert isinstance(stage.objective, GRPO)
        assert (stage.objective.group_size, stage.objective.temperature) == (8, 1.0)
        assert stage.objective.kl == 0
        assert stage.objective.max_groups > 1, "groups without a signal are replaced"
    assert config.optimizer.max_grad_norm == 1.0


def test_dry_run_validates_the_recipes(trajectories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    options = {"maths": "source=sample", "swe": f"path={trajectories}"}
    for name, option in options.items():
        arguments = ["train", "--config", f"examples/recipes/{name}.toml", "--dry-run"]
        result = CliRunner().invoke(app, [*arguments, "--set", f"env.options.{option}"])
        assert result.exit_code == 0, result.output


def test_the_maths_recipe_runs_in_small(tmp_path: Path) -> None:
    result = train(small("maths.toml", tmp_path, SMALL_MATHS))
    assert [name for name, _ in result.stages] == ["srl", "rlvr"]
    assert {line["stage"] for line in updates(result.folder)} == {"srl", "rlvr"}
    assert (result.folder / "best").is_dir()


def test_the_swe_recipe_runs_in_small(
    tmp_path: Path, trajectories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    overrides = [*SMALL, f"env.options.path={trajectories}"]
    result = train(small("swe.toml", tmp_path, overrides))
    assert [line["stage"] for line in updates(result.folder)] == ["srl", "srl"]
    assert result.model is not None


def test_a_call_of_a_trajectory_is_rewarded(trajectories: Path) -> None:
    env = srl_env.make(str(RECIPES / "swe_trajectories.py"), path=str(trajectories)).unwrapped
    env.reset(options={"problem": 0, "reward_mode": "srl"})
    (step, *_) = env.expert_steps
    _, reward, *_ = env.step(env.format.render(step))
    assert reward == 1.0


def test_problems_with_answers_alone_are_judged(tmp_path: Path) -> None:
    pytest.importorskip("math_verify")
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"question": "1/2 + 1/4?", "answer": "\\frac{3}{4}"}) + "\n")
    env = srl_env.make(str(RECIPES / "answers.py"), path=str(path), problem="question")
    options = {"problem": 0, "reward_mode": "rlvr", "granularity": "solution"}
    for answer, reward in (("0.75", 1.0), ("0.7", 0.0)):
        env.reset(options=options)
        _, found, terminated, *_ = env.step(f"<think>add</think>\n\\boxed{{{answer}}}")
        assert (found, terminated) == (reward, True)

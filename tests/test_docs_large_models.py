"""The page on large models: its numbers come out of its code, its files are there and check out."""

from __future__ import annotations

from pathlib import Path

import pytest

from srl_agents.objectives import GRPO
from srl_agents.runs.config import load_config
from tests.pages import ROOT, commands, program, run_program, texts

PAGE = ROOT / "docs" / "large-models.md"
LARGE = ROOT / "examples" / "large"


def test_the_table_of_memory_is_what_the_code_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    run_program(program(PAGE))
    assert capsys.readouterr().out == texts(PAGE, "text")[-1]


def test_the_commands_name_configurations_that_are_there() -> None:
    named = [
        words[words.index("--config") + 1] for words in commands(PAGE, "sh") if "--config" in words
    ]
    ours = [ROOT / name for name in named if name.startswith("examples/")]
    assert ours == [LARGE / "one_gpu.toml", LARGE / "eight_gpus.toml"]


@pytest.mark.parametrize("name", ["one_gpu", "eight_gpus"])
def test_a_configuration_holds_for_every_stage(name: str) -> None:
    config = load_config(LARGE / f"{name}.toml")
    assert config.model.path == "Qwen/Qwen2.5-7B-Instruct"
    assert config.model.gradient_checkpointing
    stages = config.resolved_method.stages
    assert [stage.name for stage in stages] == ["srl", "rlvr"]
    for stage in stages:
        assert isinstance(stage.objective, GRPO)
        assert stage.objective.sampler_correction == "token-tis"
        assert stage.objective.max_tokens < config.policy.engine["max_model_len"]
    assert (config.model.lora is None) == (config.model.parallel == "fsdp")

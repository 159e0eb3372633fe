"""Runs with a teacher: what it sees, that no weight means no change, and that they resume."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from srl_agents.collection.teacher_prompts import teacher_prompts, with_teacher_prompts
from srl_agents.objectives.grpo import GRPO
from srl_agents.runs.config import RunConfig, make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import sample, train
from srl_agents.training.trainer import Trainer
from srl_env.errors import BadOption, UnknownName
from tests.srl_agents import letters
from tests.srl_agents.letters import lines, updates

REWARDED = {"reward_mode": "srl", "max_steps": 1, "max_tokens": 4}
KINDS: dict[str, dict[str, Any]] = {
    "opsd": {"kind": "distillation", "teacher": "start", "group_size": 2},
    "opsd, current": {"kind": "distillation", "divergence": "jsd", "weight": 0.5},
    "opd": {"kind": "distillation", "hint": 0.0, "full_vocabulary": False, "teacher": "start"},
    "rlsd": {"kind": "rlsd"},
    "pi-distill": {"kind": "pi-distill"},
}
OFF: list[dict[str, Any]] = [
    {"kind": "distillation", "weight": 0.0},
    {"kind": "rlsd", "evidence": 0.0},
    {"kind": "pi-distill", "alpha": 1.0, "teacher_kl": 0.0, "hint": 0.0},
]


def configured(tree: dict[str, Any], objective: dict[str, Any], **changes: Any) -> RunConfig:
    stage = {"name": "s", "objective": REWARDED | objective}
    return make_config(merged({**tree, "method": [stage]}, changes))


def left_behind(folder: Path) -> dict[str, Any]:
    timed = ("time/", "tokens_per_s/", "seconds")
    return {
        "metrics": [
            {name: value for name, value in line.items() if not name.startswith(timed)}
            for line in lines(folder)
        ],
        "model": (folder / "model" / "model.safetensors").read_bytes(),
    }


@pytest.mark.parametrize("off", OFF)
def test_without_a_weight_a_run_is_its_base_to_the_bit(
    tree: dict[str, Any], tmp_path: Path, off: dict[str, Any]
) -> None:
    base, without = tmp_path / "base", tmp_path / "without"
    train(configured(tree, {"kind": "grpo"}, out=str(base), budget={"updates": 3}))
    train(configured(tree, off, out=str(without), budget={"updates": 3}))
    assert left_behind(base) == left_behind(without)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_with_a_teacher_is_resumed_to_the_bit(
    tree: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    train(configured(tree, KINDS[kind], out=str(whole), budget={"updates": 4}))
    shutil.copytree(whole, parted)
    shutil.rmtree(parted / "model")
    for checkpoint in sorted((parted / "checkpoints").iterdir())[1:]:
        shutil.rmtree(checkpoint)
    train(configured(tree, KINDS[kind], out=str(parted), budget={"updates": 4}), resume=True)
    assert left_behind(whole) == left_behind(parted)


def test_the_teacher_sees_the_prompt_with_the_solution(tree: dict[str, Any]) -> None:
    config = configured(tree, {"kind": "rlsd"})
    trainer = Trainer(config, None)
    source = trainer.collector.source(trainer.starts, 4, "train", 1)
    collected = GRPO(**REWARDED).collect(source)
    found = teacher_prompts(collected, 1.0, trainer.envs.all, trainer.policy)
    decode = letters.TOKENIZER.decode
    assert found
    for plain, hinted in found.items():
        letter = decode(plain)[0]
        assert (decode(plain), decode(hinted)) == (f"{letter}#", f"{letter * 8}{letter}#")
    assert teacher_prompts(collected, 0.0, trainer.envs.all, trainer.policy) == {}
    trainer.close()


def test_the_policy_that_sees_the_solution_samples_and_the_other_learns_too(
    tree: dict[str, Any],
) -> None:
    trainer = Trainer(configured(tree, KINDS["pi-distill"]), None)
    objective = trainer.stage.objective
    collected = objective.collect(trainer.collector.source(trainer.starts, 4, "train", 1))
    data = objective.training_batches(collected, 4, 1)
    assert data is not None
    data = with_teacher_prompts(data, collected, objective, trainer.envs.all, trainer.policy)
    (batch,) = data.batches
    decode = letters.TOKENIZER.decode
    prompts, half = [decode(ids) for ids in batch.prompts], len(batch.prompts) // 2
    assert all(len(prompt) == 10 for prompt in prompts[:half])
    assert [prompt[-2:] for prompt in prompts[:half]] == prompts[half:]
    assert batch.teacher_prompts == batch.prompts[half:] + batch.prompts[:half]
    trainer.close()


@pytest.mark.parametrize("full_vocabulary", [True, False])
def test_a_teacher_that_sees_the_same_agrees(tree: dict[str, Any], full_vocabulary: bool) -> None:
    same = {"kind": "distillation", "hint": 0.0, "full_vocabulary": full_vocabulary}
    result = train(configured(tree, same, budget={"updates": 1}))
    assert result.metrics["divergence"] == pytest.approx(0, abs=1e-6)
    assert result.metrics["grad_norm"] == pytest.approx(0, abs=1e-4)
    seen = configured(tree, same | {"hint": 1.0}, budget={"updates": 1}, out=f"{result.folder}2")
    assert train(seen).metrics["divergence"] > 1e-4


def test_every_group_is_trained_on_and_the_teachers_positions_count(tree: dict[str, Any]) -> None:
    config = configured(tree, KINDS["opsd"] | {"reward_mode": "random"}, budget={"updates": 2})
    train(config)
    for line in updates(Path(config.out)):
        assert line["groups/trained"] == line["groups/sampled"] == 4
        assert line["tokens/teacher"] > line["tokens/sample"]  # the hint is longer


def test_the_gradient_with_a_teacher_does_not_depend_on_micro_batches(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    for kind, objective in KINDS.items():
        norms = []
        for tokens in (40, 100_000):
            config = configured(
                tree,
                objective,
                out=str(tmp_path / f"{kind} {tokens}"),
                optimizer={"micro_batch_tokens": tokens},
                budget={"updates": 1},
            )
            norms.append(train(config).metrics["grad_norm"])
        assert norms[0] == pytest.approx(norms[1], rel=1e-3)


def test_a_checkpoint_with_the_same_tokenizer_teaches(tree: dict[str, Any], tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    letters.base(seed=1).save_pretrained(teacher)
    letters.TOKENIZER.save_pretrained(teacher)
    objective = {"kind": "distillation", "hint": 0.0, "teacher": str(teacher)}
    train(configured(tree, objective, budget={"updates": 12}))
    found = [line["divergence"] for line in updates(Path(tree["out"]))]
    assert found[-1] < 0.5 * found[0]


def test_a_teacher_with_another_tokenizer_is_refused_before_anything_is_loaded(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from srl_agents.models.small import character_tokenizer

    teacher, other = tmp_path / "teacher", character_tokenizer("xyz#")
    letters.base(other).save_pretrained(teacher)
    other.save_pretrained(teacher)
    monkeypatch.setattr(torch.nn.Module, "to", None)  # no model can be loaded
    objective = {"kind": "distillation", "teacher": str(teacher)}
    with pytest.raises(BadOption, match=r"must have the tokenizer of model.path; .* differ in"):
        train(configured(tree, objective))
    with pytest.raises(BadOption, match="no folder './nowhere'"):
        train(configured(tree, objective | {"teacher": "./nowhere"}))
    with pytest.raises(UnknownName, match="no teacher 'curent'. Did you mean 'current'"):
        train(configured(tree, objective | {"teacher": "curent"}))
    assert not Path(tree["out"]).exists()


def test_opd_without_a_teacher_is_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(BadOption, match="method 'opd' must have a teacher; got none"):
        train(make_config({**tree, "method": "opd"}))


def test_the_look_before_a_run_does_not_miss_a_signal_that_the_teacher_gives(
    tree: dict[str, Any],
) -> None:
    shown = sample(configured(tree, KINDS["opsd"] | {"reward_mode": "format"}))
    assert shown is not None
    assert shown.informative == shown.groups > 0
    assert not any("too little" in advice or "same reward" in advice for advice in shown.advice)

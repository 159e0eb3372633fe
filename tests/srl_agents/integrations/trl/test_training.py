"""TRL's own trainer on our environments: rewards rise, groups are steps, masks are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from srl_agents.integrations import StepRewardsSpread, TRLTask
from srl_agents.models.small import character_tokenizer
from srl_env.environment import ReasoningEnv
from srl_env.testing import SlowWorldEnv
from srl_env.text.prompt import PromptStyle
from tests.srl_agents import letters
from tests.srl_agents.integrations.trl.test_task import Semicolon
from tests.srl_agents.letters import Letters

trl = pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


def make_trainer(folder: Path, tokenizer: Any, **given: Any) -> Any:
    """A ``GRPOTrainer`` of a tiny model; keyword arguments that it does not take are settings."""
    names = ("reward_funcs", "train_dataset", "rollout_func", "environment_factory", "model")
    own = {name: given.pop(name) for name in names if name in given}
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 64,
        "num_generations": 8,
        "max_completion_length": 8,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "beta": 0.0,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 1,
        "seed": 1,
    }
    model = own.pop("model", None)
    return trl.GRPOTrainer(
        letters.base() if model is None else model,
        processing_class=tokenizer,
        args=trl.GRPOConfig(**settings | given),
        **own,
    )


def rewards(trainer: Any) -> list[float]:
    return [line["reward"] for line in trainer.state.log_history if "reward" in line]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize("sampler", ["trl", pytest.param("own", marks=pytest.mark.slow)])
def test_rewards_rise_in_srl(tmp_path: Path, sampler: Any) -> None:
    task = TRLTask(Letters, targets="all", sampler=sampler)
    trainer = make_trainer(
        tmp_path,
        letters.TOKENIZER,
        reward_funcs=task.reward,
        train_dataset=task.dataset(),
        rollout_func=task.rollout,
        max_completion_length=4,
        max_steps=30,
    )
    trainer.train()
    assert rewards(trainer)[0] < 0.4
    assert mean(rewards(trainer)[-5:]) > 0.8
    assert not task.failures


def test_accuracy_rises_in_rlvr(tmp_path: Path) -> None:
    task = TRLTask(Letters, "rlvr")
    trainer = make_trainer(
        tmp_path,
        letters.TOKENIZER,
        reward_funcs=task.reward,
        train_dataset=task.dataset(),
        rollout_func=task.rollout,
        max_completion_length=1,
        per_device_train_batch_size=32,
        max_steps=40,
    )
    trainer.train()
    assert rewards(trainer)[0] < 0.45
    assert mean(rewards(trainer)[-5:]) > 0.8


@pytest.mark.filterwarnings(
    "ignore::srl_agents.integrations.rows.RowsDropped"
)  # it samples special tokens
def test_tokens_of_the_environment_reach_trl_masked_and_groups_are_rows(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    class Watched(trl.GRPOTrainer):  # type: ignore[misc, name-defined]
        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            seen.append(inputs)
            return super()._compute_loss(model, inputs)

    def world() -> ReasoningEnv:
        return SlowWorldEnv(style=PromptStyle.bare(), format=Semicolon())

    tokenizer = character_tokenizer("said 12;")  # so few that some of the completions stop
    tokenizer.add_special_tokens({"eos_token": "<never>"})
    model = letters.base(tokenizer)
    task = TRLTask(world, "hybrid", granularity="step", problems=1, max_steps=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trl, "GRPOTrainer", Watched)
        trainer = make_trainer(
            tmp_path,
            tokenizer,
            model=model,
            reward_funcs=task.reward,
            train_dataset=task.dataset(),
            rollout_func=task.rollout,
            per_device_train_batch_size=32,
            num_generations=32,
            max_steps=1,
        )
    with pytest.warns(StepRewardsSpread, match="the sum is given to all tokens"):
        trainer.train()
    (inputs,) = seen
    assert inputs["prompt_ids"].unique(dim=0).shape[0] == 1
    for ids, mask, there in zip(
        inputs["completion_ids"], inputs["tool_mask"], inputs["completion_mask"], strict=True
    ):
        answered = tokenizer.decode(ids[(mask == 0) & (there == 1)])
        written = tokenizer.decode(ids[(mask == 1) & (there == 1)])
        assert answered in ("", "1 said", "1 said2 said")
        assert written.count(";") <= 3
    assert (inputs["tool_mask"] == 0).any()

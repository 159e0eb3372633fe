"""TRL's own GRPOTrainer in one of our environments, with a tiny model that is made here.

    python examples/trl_trainer.py                       # SRL: a row and a group for each step
    python examples/trl_trainer.py --reward-mode holistic --granularity solution

Each takes half a minute on one core and prints the mean reward of every few updates. The model has
random weights, so a reward for correct answers only ("rlvr") would stay at 0. Rewards of single
steps solve this.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func is experimental in TRL

import torch
import transformers
from trl import GRPOConfig, GRPOTrainer

from srl_agents.integrations import TRLTask
from srl_agents.models import build, character_tokenizer

LETTERS = "0123456789abcdefghijklmnopqrst+-*,:?>();#"
ENVIRONMENT = "srl/ModularChain-v0"


def main(arguments: Sequence[str] | None = None) -> list[float]:
    """Trains; returns the mean reward of each update."""
    given = parsed(arguments)
    torch.set_num_threads(1)
    task = TRLTask(
        ENVIRONMENT,
        given.reward_mode,
        targets="all" if given.reward_mode == "srl" else "paper",
        granularity=given.granularity,
        problems=given.problems,
        sampler=given.sampler,
        difficulty=given.difficulty,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(task, given.updates, folder)
        trainer.train()
    rewards = [line["reward"] for line in trainer.state.log_history if "reward" in line]
    show(rewards, every=max(1, given.updates // 10))
    print(f"{len(task.rows.rows)} rows; infrastructure failures: {dict(task.failures) or 'none'}")
    return rewards


def make_trainer(task: TRLTask, updates: int, folder: str) -> Any:
    """TRL's trainer, as it would be without us but for the three arguments of the task."""
    tokenizer = character_tokenizer(LETTERS)
    trainer = GRPOTrainer(
        model=build("lfm2-0.3m", tokenizer, seed=0),
        processing_class=tokenizer,
        train_dataset=task.dataset(),
        reward_funcs=task.reward,
        rollout_func=task.rollout,
        args=GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=64,
            num_generations=8,
            max_completion_length=12 if task.rows.settings.by_step else 40,
            max_steps=updates,
            learning_rate=3e-3,
            lr_scheduler_type="constant",
            beta=0.0,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_steps=1,
            log_level="error",
        ),
    )
    trainer.remove_callback(transformers.PrinterCallback)  # the log itself stays
    return trainer


def show(rewards: Sequence[float], every: int) -> None:
    """One line for every few updates."""
    for first in range(0, len(rewards), every):
        part = rewards[first : first + every]
        mean = sum(part) / len(part)
        print(f"updates {first + 1:4} … {first + len(part):4}   reward {mean:6.3f}", flush=True)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reward-mode", default="srl")
    parser.add_argument("--granularity", choices=["step", "solution"])
    parser.add_argument("--sampler", choices=["trl", "own"], default="trl")
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--difficulty", type=int, default=3)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

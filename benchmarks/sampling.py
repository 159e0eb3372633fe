"""Sampling with log-probabilities, against transformers' ``generate`` and, if given, vLLM.

    python benchmarks/sampling.py
    python benchmarks/sampling.py --model llama-1m --batch 64 --shape 100x16
    python benchmarks/sampling.py --vllm-python ~/vllm-venv/bin/python

Prompts come in groups of 8 equal ones, as in training; nothing stops early; temperature 1, the
whole vocabulary of 1,024, fp32, one thread, on the CPU. Each line is the best of several runs
taken in turn, in tokens written per second of processor time of the process. ``generate`` is
asked for its logits, from which the log-probabilities of its tokens are taken.

The floor is what the matrix products would take if nothing else took time, at the speed that
one large product reaches here: 2 operations for each weight and token, each distinct prompt
once, each new token once. ``generate`` computes every prompt 8 times, and so has a floor of
its own: what is left of our lead when prompts are not shared.

vLLM is run by another interpreter, because it brings its own torch. It shares prompts too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

VOCABULARY, GROUP = 1024, 8
SHAPES = ("32x64", "100x16", "100x64")


@dataclass(frozen=True, slots=True)
class Work:
    """What is sampled: rows of equal length, in groups."""

    model: str
    batch: int
    prompt: int
    new: int

    @property
    def tokens(self) -> int:
        """Tokens written."""
        return self.batch * self.new

    def prompts(self) -> list[list[int]]:
        """Token ids, each prompt ``GROUP`` times over."""
        rng = random.Random(0)
        distinct = [
            [rng.randrange(VOCABULARY) for _ in range(self.prompt)]
            for _ in range(self.batch // GROUP)
        ]
        return [ids for ids in distinct for _ in range(GROUP)]


def main() -> None:
    """Prints one line for each model, batch and shape."""
    options = _arguments()
    if options.inside_vllm:
        _inside_vllm(Path(options.inside_vllm))
        return
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    vllm = f"{'vLLM':>9}{'ratio':>7}" if options.vllm_python else ""
    print(f"tokens per processor second, best of {options.repeats}\n")
    print(
        f"{'model':10}{'batch':>6}{'prompt x new':>14}{'ours':>9}{'generate':>10}{'ratio':>7}{vllm}"
        f"{'floor':>9}{'its floor':>11}"
    )
    for name in options.model:
        for batch in options.batch:
            for shape in options.shape:
                prompt, new = map(int, shape.split("x"))
                work = Work(name, batch, prompt, new)
                print(_line(work, options.repeats, options.vllm_python), flush=True)


def _line(work: Work, repeats: int, vllm_python: str | None) -> str:
    model = _model(work.model)
    ours, theirs = best_seconds([our_run(model, work), generate_run(model, work)], repeats)
    shared, unshared = floor_seconds(model, work, GROUP), floor_seconds(model, work, 1)
    speeds = [work.tokens / seconds for seconds in (ours, theirs, shared, unshared)]
    vllm = ""
    if vllm_python:
        speed = work.tokens / vllm_seconds(model, work, repeats, vllm_python)
        vllm = f"{speed:9.0f}{speeds[0] / speed:7.2f}"
    return (
        f"{work.model:10}{work.batch:6}{work.prompt:>8} x {work.new:<3}{speeds[0]:9.0f}"
        f"{speeds[1]:10.0f}{speeds[0] / speeds[1]:7.2f}{vllm}{speeds[2]:9.0f}{speeds[3]:11.0f}"
    )


def best_seconds(runs: list[Callable[[], object]], repeats: int) -> list[float]:
    """The shortest processor time of each run, all taken in turn."""
    best = [float("inf")] * len(runs)
    for _ in range(repeats):
        for i, run in enumerate(runs):
            began = time.process_time()
            run()
            best[i] = min(best[i], time.process_time() - began)
    return best


def our_run(model: Any, work: Work) -> Callable[[], object]:
    """Our sampler on the work; nothing is kept from one run for the next."""
    from srl_agents.models.small import character_tokenizer
    from srl_agents.nn.sample import Sampler
    from srl_agents.nn.score import make_decoder
    from srl_env.policy import Sampling

    sampler = Sampler(make_decoder(model), character_tokenizer("a"), cache_bytes=0)
    prompts, sampling = work.prompts(), Sampling(max_tokens=work.new)
    return lambda: sampler.sample(prompts, sampling)


def generate_run(model: Any, work: Work) -> Callable[[], object]:
    """``model.generate`` on the work, log-probabilities included."""
    import torch

    ids = torch.tensor(work.prompts())
    mask = torch.ones_like(ids)

    def run() -> object:
        with torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=mask,
                do_sample=True,
                top_k=0,
                max_new_tokens=work.new,
                output_logits=True,
                return_dict_in_generate=True,
            )
            new = out.sequences[:, work.prompt :, None]
            return torch.stack(out.logits, 1).log_softmax(-1).gather(2, new).tolist()

    return run


def floor_seconds(model: Any, work: Work, shared_by: int) -> float:
    """Seconds for the matrix products alone, a prompt computed once for ``shared_by`` rows."""
    weights = sum(p.numel() for p in model.parameters() if p.ndim == 2)  # tied: once, for the head
    tokens = work.batch * work.prompt / shared_by + work.tokens
    return 2 * weights * tokens / _operations_per_second()


def vllm_seconds(model: Any, work: Work, repeats: int, python: str) -> float:
    """The shortest processor time of vLLM's engine on the work, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        job = Path(folder) / "job.json"
        job.write_text(json.dumps({"repeats": repeats, "folder": folder, "work": asdict(work)}))
        finished = subprocess.run(
            [python, __file__, "--inside-vllm", str(job)],
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
                "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    if finished.returncode:
        raise SystemExit(f"vLLM failed in {python}:\n{finished.stderr[-3000:]}")
    return float(finished.stdout.splitlines()[-1])


def _inside_vllm(job: Path) -> None:
    """Prints the seconds; runs under vLLM's own interpreter."""
    from vllm import LLM, SamplingParams

    given = json.loads(job.read_text())
    work = Work(**given["work"])
    engine = LLM(
        given["folder"],
        skip_tokenizer_init=True,
        dtype="float32",
        max_model_len=256,
        max_num_seqs=work.batch,
        max_num_batched_tokens=8192,
        enforce_eager=True,
        disable_log_stats=True,
    )
    sampling = SamplingParams(max_tokens=work.new, ignore_eos=True, logprobs=0, detokenize=False)
    prompts = [{"prompt_token_ids": ids} for ids in work.prompts()]

    def run() -> None:
        engine.reset_prefix_cache()
        done = engine.generate(prompts, sampling, use_tqdm=False)
        assert sum(len(each.outputs[0].token_ids) for each in done) == work.tokens

    run()
    print(best_seconds([run], given["repeats"])[0])


def _model(name: str) -> Any:
    """A model with random weights, ``VOCABULARY`` tokens, and none that ends a text."""
    from srl_agents.models.small import CONFIGS, build, character_tokenizer

    model = build(CONFIGS[name](), character_tokenizer("a"), seed=0)
    model.resize_token_embeddings(VOCABULARY)
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    return model


def _operations_per_second(size: int = 1024) -> float:
    """What a large fp32 matrix product reaches on one thread."""
    import torch

    left, right = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / best_seconds([lambda: left @ right], 10)[0]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", nargs="+", default=["llama-1m", "llama-5m"])
    parser.add_argument("--batch", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--shape", nargs="+", default=list(SHAPES), help="prompt x new tokens")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--vllm-python", help="an interpreter that has vLLM")
    parser.add_argument("--inside-vllm", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""What the adapter for TRL costs: its rollout over an environment, against TRL's own generation.

    python benchmarks/adapters.py
    python benchmarks/adapters.py --model llama-1m --work steps --updates 8

The same trainer, model, prompts, groups and tokens (see update.py) three times: TRL generates and a
reward function pays; ``TRLTask.rollout`` drives an environment of the same prompts, with TRL
generating; and the same with our own sampler. Time is processor time of an update, the median over
the updates after the first two. Completions always have full length, so all three sample, and
train on, the same number of tokens.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
import transformers
from update import WORK, PromptsEnv, prompts, save_model, trl_seconds

from srl_agents.integrations.trl import TRLTask


def main() -> None:
    """Prints one line for each model and workload."""
    options = _arguments()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    heads = ("TRL alone s", "rollout s", "ratio", "own sampler s", "ratio")
    print(f"{'model':10}{'work':11}" + "".join(f"{head:>15}" for head in heads), flush=True)
    for name in options.model:
        for work in options.work:
            alone, rollout, own = seconds(name, work, options.updates)
            figures = (alone, rollout, rollout / alone, own, own / alone)
            print(f"{name:10}{work:11}" + "".join(f"{x:15.3f}" for x in figures), flush=True)


def seconds(name: str, work: str, updates: int) -> tuple[float, float, float]:
    """Processor seconds of an update: TRL alone, with our rollout, with our sampler as well."""
    with tempfile.TemporaryDirectory() as folder:
        model = save_model(name, Path(folder) / "model")
        tasks = [None, task(work, "trl"), task(work, "own")]
        alone, rollout, own = (trl_seconds(model, work, updates, task) for task in tasks)
    return alone, rollout, own


def task(work: str, sampler: str) -> TRLTask:
    """The environment of a workload's prompts."""
    return TRLTask(
        lambda: PromptsEnv(prompts(work)),
        "vowels",
        each="problem",
        granularity="step",
        max_steps=1,
        sampler=sampler,  # type: ignore[arg-type]
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", nargs="+", default=["llama-1m"])
    parser.add_argument("--work", nargs="+", choices=sorted(WORK), default=sorted(WORK))
    parser.add_argument("--updates", type=int, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    main()

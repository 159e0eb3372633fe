"""SRL then RLVR against RLVR alone, SFT then RLVR, and SRL alone: what ``make demo`` runs.

Makes the base model unless it is cached, and trains it by each method for the same time. Then it
evaluates on unseen problems and writes a report. ``demo.toml`` holds every setting;
``--set key.key=value`` changes one, for instance ``--set "seeds=[0,1,2,3,4]"``. The same command
continues a demo that was stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import srl_env
from examples.demo.base import Recipe, base_model
from srl_agents import EvalSettings, TransformersPolicy, compare, evaluate
from srl_agents.cli import comparison_bars
from srl_agents.comparison import CompareConfig, make_compare_config
from srl_agents.runs import read_tree, with_overrides
from srl_agents.view import comparison_table, headline, write_report
from srl_env.errors import SrlEnvError

HERE = Path(__file__).parent
ENOUGH = 0.9  # of chains of four, for a base; docs/results-appendix.md
console = Console()


def main() -> int:
    """Runs the demo; the process's exit code."""
    args = _arguments()
    began = time.perf_counter()
    try:
        base = make_base(Recipe(seed=args.base_seed), args.cache)
        announce_base(short_chains_solved(base))
        config = demo_config(args.config, base, args.set)
        run(config)
    except SrlEnvError as error:
        console.print(f"[red]{type(error).__name__}[/]: {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted. Progress is saved; the same command continues.")
        return 130
    console.print(f"{(time.perf_counter() - began) / 60:.1f} minutes")
    return 0


def make_base(recipe: Recipe, cache: Path) -> Path:
    """The base model's folder, made now with a progress bar unless the cache has it."""
    with _base_bar(recipe.updates) as show:
        return base_model(recipe, cache, show)


def short_chains_solved(base: Path, problems: int = 128) -> float:
    """The fraction of unseen chains of four that the base solves: it was trained on such chains.

    A base that hardly solves these learns little about long ones in the demo's time.
    """
    settings = EvalSettings(problems=problems, rollouts=4, greedy=False, max_tokens=16, max_steps=7)
    policy = TransformersPolicy.from_pretrained(str(base))
    make_env = partial(srl_env.make, "srl/ModularChain-v0", difficulty=4, split="dev")
    return evaluate(policy, make_env, settings).estimates()["pass@1"].value


def announce_base(solved: float) -> None:
    """Prints what the base can do, and a warning if that is too little."""
    console.print(f"The base model solves {solved:.0%} of unseen chains of four definitions.")
    if solved < ENOUGH:
        console.print(
            f"[yellow]Below {ENOUGH:.0%}: training this base went badly, so the results may be "
            "poor. Fix: try another with --base-seed 2 (docs/results-appendix.md)[/]"
        )


def demo_config(file: Path, base: Path, overrides: list[str]) -> CompareConfig:
    """The comparison in the file, with the base model's folder in it."""
    return make_compare_config(
        with_overrides(read_tree(file), [f'run.model.path="{base}"', *overrides])
    )


def run(config: CompareConfig) -> None:
    """Trains and evaluates what is missing, prints the table, writes the report."""
    _announce(config)
    with comparison_bars() as bars:
        comparison = compare(config, on_progress=bars)
    report = write_report(comparison, Path(config.out))
    console.print(comparison_table(comparison))
    console.print(headline(comparison), highlight=False)
    console.print(f"Report: {report}   figures: {report.with_name('results.json')}")
    for failed in (outcome for outcome in comparison.runs if outcome.error):
        console.print(f"[red]{failed.method}, seed {failed.seed}[/]: {failed.error}")


def _announce(config: CompareConfig) -> None:
    options, budget = config.run["env"]["options"], config.run["budget"]
    shown = options.get("demonstrated", options["max_problems"])
    runs = len(config.methods) * len(config.seeds)
    console.print(
        f"{runs} runs of {budget['seconds']:g} s each, {config.jobs} at a time, on "
        f"{options['max_problems']} chains of {options['difficulty']} definitions, {shown} of them "
        f"demonstrated; then {config.evaluation.problems} unseen problems × "
        f"{config.evaluation.rollouts} rollouts.",
        highlight=False,
    )


@contextmanager
def _base_bar(updates: int) -> Iterator[Any]:
    """What to give to ``base_model`` as ``progress``; shows nothing until it is called."""
    columns = (TextColumn("base model"), BarColumn(), TextColumn("loss {task.fields[loss]:.3f}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=False) as bar:
        task = bar.add_task("base model", total=updates, loss=float("nan"), visible=False)
        yield lambda update, loss: bar.update(task, completed=update, loss=loss, visible=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", type=Path, default=HERE / "demo.toml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="Folder of base models.")
    parser.add_argument("--base-seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(os.cpu_count() or 1)
    sys.exit(main())

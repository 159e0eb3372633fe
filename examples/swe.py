"""A new language model learns to work in repositories: SRL, then RLVR.

    python examples/swe.py

1. It makes a tokenizer and a small random model from the training tasks.
2. It pretrains the model by next-token prediction on what experts saw and did.
3. It trains on ``srl/SWE-v0`` by SRL: each tool call is compared with the expert's; nothing runs.
4. It trains by RLVR: the model's own calls run in the sandbox, and hidden tests decide.
5. It prints how similar its calls are to the expert's on unseen tasks, before and after.

A model of this size learns the form of the work, not to program. ``--tasks DIR`` takes a folder
that ``srl-env swe build`` made instead of the tasks that ship.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import srl_env
from examples.pretraining import pretrain
from srl_agents import EvalSettings, TransformersPolicy, evaluate, make_config, train
from srl_agents.cli import evaluation_bar, training_bar
from srl_agents.evaluation import EvalResult, score_gains
from srl_env import ReasoningEnv

ENV = "srl/SWE-v0"
VOCABULARY = 2048
MAX_TOKENS = 192  # of one call, thinking included
console = Console()


def main() -> None:
    """Runs the example."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    shutil.rmtree(args.out, ignore_errors=True)
    options: dict[str, Any] = {"context_turns": 1}
    if args.tasks:
        options["path"] = str(args.tasks)
    texts = step_texts(options)
    console.print(f"{len(texts)} training steps")
    folder = args.out / "base"
    base = pretrain(texts, args.pretrain_updates, args.seed, folder, vocabulary=VOCABULARY)
    before = held_out(base, options, args, "before")
    after = held_out(learn(base, options, args), options, args, "after")
    _show(before, after, args.out)


def step_texts(options: dict[str, Any]) -> list[str]:
    """Every expert step of the training tasks: what is shown, and what the expert does."""
    env, texts = _make(options, "train"), []
    for index in range(len(env.problems)):
        steps = len(env.problems[index].trajectories[0].steps)
        for start in range(steps):
            _, info = env.reset(
                options={"problem": index, "start_step": start, "reward_mode": "srl"}
            )
            shown = "".join(message["content"] for message in info["messages"])
            texts.append(shown + env.expert_completion())
    return texts


def learn(base: Path, options: dict[str, Any], args: argparse.Namespace) -> Path:
    """The folder of the model after SRL and RLVR on the training tasks."""
    whole = args.srl_updates + args.rlvr_updates
    # Calls differ much in length: see the GSM8K example.
    objective = {"max_tokens": MAX_TOKENS, "aggregation": "constant", "scale": "none"}
    config = make_config(
        {
            "out": str(args.out / "run"),
            "env": {"id": ENV, "options": options},
            "model": {"path": str(base), "threads": args.threads},
            "budget": {"updates": whole},
            "method": "srl-rlvr",
            "stages": {
                "srl": {
                    "lr": 3e-4,
                    "batch": 8,
                    "fraction": args.srl_updates / whole,
                    "until": {"informative": "off"},
                    "objective": objective,
                },
                # Begun after each of the expert's steps, which are executed, so that some
                # episodes can succeed.
                "rlvr": {
                    "lr": 1e-4,
                    "batch": 4,
                    "starts": {"at": "prefix", "targets": "all"},
                    "objective": {**objective, "max_steps": 4},
                },
            },
            "seed": args.seed,
        }
    )
    with training_bar("srl-rlvr") as bar:
        result = train(config, on_progress=bar)
    if result.model is None:
        raise SystemExit("interrupted")
    return result.model


def held_out(
    model: Path, options: dict[str, Any], args: argparse.Namespace, name: str
) -> EvalResult:
    """How the model does on tasks of the split "test": its own whole episodes, executed, and
    each next call after the expert's."""
    settings = EvalSettings(
        problems=args.problems,
        rollouts=1,
        greedy=False,
        similarity=True,
        max_tokens=MAX_TOKENS,
        max_steps=8,
    )
    policy = TransformersPolicy.from_pretrained(str(model))
    with evaluation_bar(f"{name} training") as bar:
        return evaluate(
            policy, lambda: _make(options, "test"), settings, name=name, on_progress=bar
        )


def _make(options: dict[str, Any], split: str) -> ReasoningEnv:
    env = srl_env.make(ENV, split=split, **options).unwrapped
    assert isinstance(env, ReasoningEnv)
    return env


def _show(before: EvalResult, after: EvalResult, out: Path) -> None:
    (out / "results.json").write_text(
        json.dumps({"before": before.to_json(), "after": after.to_json()}, indent=1) + "\n"
    )
    gains = score_gains(before, after)
    for name, title in (("sampled_similarity", "sampled"), ("similarity", "greedy")):
        old, new = (result.estimates()[name].value for result in (before, after))
        gain = gains[name]
        console.print(
            f"call similarity, {title}: {old:.3f} before training, {new:.3f} after, a gain of"
            f" {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        )
    old, new = (result.estimates()["pass@1"].value for result in (before, after))
    console.print(
        f"resolved: {old:.0%} before, {new:.0%} after; on {len(after.problem_ids)} unseen tasks,"
        " intervals paired by task"
    )
    console.print(f"Everything is in {out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tasks", type=Path, help="a folder of tasks; those that ship if none")
    parser.add_argument("--out", type=Path, default=Path("runs/swe"), help="replaced if there")
    parser.add_argument("--pretrain-updates", type=int, default=600)
    parser.add_argument("--srl-updates", type=int, default=60)
    parser.add_argument("--rlvr-updates", type=int, default=6)
    parser.add_argument("--problems", type=int, default=20, help="held out, for the evaluation")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""A small language model learns GSM8K's solution steps by step rewards, from scratch.

    python examples/gsm8k.py --data train.jsonl

This makes a tokenizer and a small random model from the training split, pretrains it on problems
and solutions, and trains it with SRL. Before and after, it reports how similar the model's steps
are to the expert's, on problems it has not seen. Any file with GSM8K's columns works; without
``--data`` the shipped sample is used. A model of this size learns what steps look like and does
not learn to calculate. A quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import torch
from rich.console import Console

import srl_env
from examples.pretraining import pretrain
from srl_agents import EvalSettings, TransformersPolicy, evaluate, make_config, train
from srl_agents.cli import evaluation_bar, training_bar
from srl_agents.evaluation import EvalResult, score_gains
from srl_agents.runs import with_overrides
from srl_env import ExpertStep, ParsedStep, PromptStyle, ReasoningEnv
from srl_tasks.recorded import GSM8KEnv

ENV = "examples/GSM8KLines-v0"
MAX_TOKENS = 64  # of one step
# Lines differ in length. The mean over each line's tokens would weigh those of short lines more,
# and bad lines would grow instead of becoming rare (Dr. GRPO, arXiv:2503.20783).
OBJECTIVE = {
    "max_tokens": MAX_TOKENS,
    "max_groups": 1,
    "aggregation": "constant",
    "scale": "none",
}
console = Console()


@dataclass(frozen=True, slots=True)
class Lines:
    """A step is a line, without a thought: all that a model of this size can write."""

    instructions: str = ""
    stop: tuple[str, ...] = ("\n",)

    def parse(self, text: str) -> ParsedStep:
        """The whole text, stripped, as the action."""
        action = text.strip()
        return ParsedStep(None, action, bool(action), None if action else "the line is empty")

    def render(self, step: ExpertStep) -> str:
        """The action as a line."""
        return f"{step.action}\n"


PLAIN = PromptStyle(
    step_task="",
    solution_task="",
    problem="{problem}\n",
    so_far="{steps}\n",
    between="",
    join="\n",
)


class GSM8KLinesEnv(GSM8KEnv):
    """``srl/GSM8K-v0`` without prose around the problem and without thoughts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"format": Lines(), "style": PLAIN} | options)


gymnasium.register(ENV, GSM8KLinesEnv)


def main() -> None:
    """Runs the example."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    shutil.rmtree(args.out, ignore_errors=True)
    options = {"path": str(args.data)} if args.data else {"source": "sample"}
    texts = solved_texts(options)
    console.print(f"{len(texts)} training problems")
    base = pretrain(texts, args.pretrain_updates, args.seed, args.out / "base")
    before = held_out(base, options, args, "before")
    after = held_out(learn_steps(base, options, args), options, args, "after")
    _show(before, after, args.out)


def solved_texts(options: dict[str, Any]) -> list[str]:
    """Every training problem with its solution, as the model will see it."""
    env = _make(options, "train")
    texts = []
    for index in range(len(env.problems)):
        _, info = env.reset(
            options={"problem": index, "reward_mode": "holistic", "continuation": "expert"}
        )
        texts.append(info["messages"][-1]["content"] + _solution(env))
    return texts


def _solution(env: ReasoningEnv) -> str:
    return "".join(env.format.render(step) for step in env.expert_steps)


def learn_steps(base: Path, options: dict[str, Any], args: argparse.Namespace) -> Path:
    """The folder of the model after SRL on the training split."""
    tree = {
        "out": str(args.out / "srl"),
        "env": {"id": ENV, "options": options},
        "model": {"path": str(base), "threads": args.threads},
        "budget": {"updates": args.srl_updates},
        "method": "srl",
        "optimizer": {"betas": [0.9, 0.95]},
        "train": {"lr": 3e-4, "batch": 48, "warmup": 0.1, "objective": OBJECTIVE},
        "seed": args.seed,
    }
    config = make_config(with_overrides(tree, args.set))
    with training_bar("srl") as bar:
        result = train(config, on_progress=bar)
    if result.model is None:
        raise SystemExit("interrupted")
    return result.model


def held_out(
    model: Path, options: dict[str, Any], args: argparse.Namespace, name: str
) -> EvalResult:
    """How the model does on problems of another split."""
    settings = EvalSettings(
        problems=args.problems,
        rollouts=4,
        greedy=False,
        similarity=True,
        max_tokens=MAX_TOKENS,
        max_steps=8,
    )
    policy = TransformersPolicy.from_pretrained(str(model))
    with evaluation_bar(f"{name} SRL") as bar:
        return evaluate(
            policy, lambda: _make(options, args.split), settings, name=name, on_progress=bar
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
            f"step similarity, {title}: {old:.3f} before SRL, {new:.3f} after, a gain of"
            f" {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        )
    console.print(f"on {len(after.problem_ids)} unseen problems; intervals are paired by problem")
    console.print(f"Everything is in {out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, help="a JSON-lines file with GSM8K's columns")
    parser.add_argument("--out", type=Path, default=Path("runs/gsm8k"), help="replaced if there")
    parser.add_argument("--pretrain-updates", type=int, default=700)
    parser.add_argument("--srl-updates", type=int, default=300)
    parser.add_argument("--split", choices=("dev", "test"), default="test", help="judged on")
    parser.add_argument("--problems", type=int, default=256, help="held out, for the evaluation")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of SRL, as train.lr=1e-4"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()

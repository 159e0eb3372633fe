"""Run folders as training and evaluation leave them, made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from srl_agents.models.small import character_tokenizer

Row = dict[str, Any]
FAILURE = {"type": "VerifierTimeout", "message": "no answer within 2 s"}


def step(action: str, index: int = 0, **changes: Any) -> Row:
    """One logged step; its tokens are its characters' places in the alphabet."""
    messages = [{"role": "user", "content": f"1+1?{'x;' * index}"}]
    generation = {
        "text": changes.pop("text", action),
        "token_ids": [3 + "abcdefghijklmnopqrstuvwxyz".find(c) for c in action],
        "logprobs": [-0.5] * len(action),
        "prompt_ids": [3] * (4 + index),
        "finish_reason": "stop",
    }
    plain = {
        "messages": messages,
        "generation": generation,
        "action": action,
        "index": index,
        "reward": 0.5,
        "reward_parts": {"similarity": 0.5, "format": 1.0},
        "format_ok": True,
        "legal": None,
        "failure": None,
        "expert_action": "abc",
    }
    return {**plain, **changes}


def episode(*steps: Row, update: int | None = 1, group: int = 0, **changes: Any) -> Row:
    """One logged episode of training, or of evaluation where ``update`` is None."""
    head = {"kind": "sampled", "part": 0, "of": 1}
    if update is not None:
        signals = [{"advantage": 1.0, "std": 0.4, "outcome": "trained"} for _ in steps]
        head = {"update": update, "stage": "srl", "signals": signals}
    plain = {
        "problem_id": f"sum/{group}",
        "start_step": 0,
        "reward_mode": "srl",
        "continuation": "expert",
        "granularity": "step",
        "steps": list(steps),
        "verdict": {"correct": True, "answer": "2"},
        "failure": None,
        "group": group,
    }
    return {**head, **plain, **changes}


def group(*actions: str, number: int = 0, update: int = 1) -> list[Row]:
    """One rollout of one step for each action, all of the same start."""
    return [episode(step(action), update=update, group=number) for action in actions]


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """The path of a JSONL file with these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def updates(rewards: Iterable[float], stage: str = "srl") -> list[Row]:
    """Lines of ``metrics.jsonl``."""
    return [
        {
            "update": number,
            "stage": stage,
            "reward": reward,
            "success": reward / 2,
            "groups/informative_fraction": 0.5,
            "seconds": 2.0 * number,
            "tokens": 100.0 * number,
        }
        for number, reward in enumerate(rewards, 1)
    ]


def training_run(
    folder: Path, rollouts: Iterable[Row] = (), *, rewards: Iterable[float] = ()
) -> Path:
    """The folder of a training run, with a tokenizer of single letters."""
    folder.mkdir(parents=True)
    config = {
        "out": str(folder),
        "env": {"id": "srl/ModularChain-v0", "options": {"difficulty": 2}},
        "model": {"path": "nowhere"},
        "budget": {"updates": 3},
        "method": "srl",
        "seed": 7,
        "log": {"rollouts_every": 1},
    }
    (folder / "config.json").write_text(json.dumps(config))
    write_lines(folder / "metrics.jsonl", updates(rewards or (0.1, 0.4, 0.7)))
    write_lines(folder / "rollouts/000000.jsonl", rollouts)
    character_tokenizer("abcdefghijklmnopqrstuvwxyz").save_pretrained(folder / "model")
    return folder

"""A tiny task with a signal in every batch, for whole runs of models with random weights.

Its environment is chosen by this file's path. A step is any text, and its reward is its similarity
to the expert's four letters. Completions are random texts of at most four of eight tokens, so
groups have rewards that differ whatever a random model samples: on any machine, with any sampler.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers

from srl_agents.models.small import build, character_tokenizer
from srl_agents.runs.episode_rows import ROLLOUTS, EpisodeRows
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import VerifierTimeout
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.text.format import ParsedStep, ThinkTags
from srl_env.text.prompt import PromptStyle
from srl_env.verifiers.base import AnswerVerifier

LETTERS = "abcd"
TOKENIZER = character_tokenizer(f"{LETTERS}#")


class AnyText(ThinkTags):
    """All of a completion is the action, and any is in the right form."""

    instructions = ""

    def parse(self, text: str) -> ParsedStep:
        return ParsedStep(None, text.strip(), True)


@dataclass(frozen=True)
class Contains(AnswerVerifier):
    """Correct where the last action contains the answer; times out on the answer ``fails_on``."""

    fails_on: str = ""

    def extract(self, text: str) -> str | None:
        return text or None

    def equal(self, answer: str, expected: str) -> bool:
        if expected == self.fails_on:
            raise VerifierTimeout("no answer within 0 s")
        return expected in answer


class Letters(ReasoningEnv):
    """Write the letter before #, four times a step. An answer that contains it is correct.

    split: "dev" has the letters that ``letters`` leaves.
    """

    def __init__(
        self, letters: str = LETTERS, fails_on: str = "", split: str = "train", **options: Any
    ) -> None:
        if split == "dev":
            letters = LETTERS.translate(dict.fromkeys(map(ord, letters)))
        steps = {letter: (ExpertStep(letter * 4, thought=letter),) * 2 for letter in letters}
        problems = [
            Problem(letter, f"{letter}#", letter, (ExpertTrajectory(steps[letter]),))
            for letter in letters
        ]
        super().__init__(
            ListSource(problems, "letters"),
            Contains(fails_on),
            **{"format": AnyText(), "style": PromptStyle.bare()} | options,
        )

    def is_final(self, action: str) -> bool:
        return True

    def legal(self, problem: Problem, actions: Sequence[str], action: str) -> bool:
        return action == problem.answer * 4


def base(tokenizer: Any = TOKENIZER, config: Any = None, seed: int = 0) -> Any:
    """A tiny model with random weights; a Llama with its head tied, if not as given."""
    return build(
        config
        or transformers.LlamaConfig(
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            tie_word_embeddings=True,
            initializer_range=0.06,
            max_position_embeddings=512,
        ),
        tokenizer,
        seed=seed,
    )


def save_base(folder: Path, config: Any = None) -> Path:
    """The tiny model and its tokenizer in a folder."""
    base(config=config).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def settings(base: Path, out: Path) -> dict[str, Any]:
    """A short SRL run on the CPU."""
    return {
        "out": str(out),
        "env": {"id": __file__},
        "model": {"path": str(base), "device": "cpu"},
        "method": "srl",
        "budget": {"updates": 6},
        "train": {"lr": 1e-2, "batch": 4, "objective": {"max_tokens": 4}},
        "checkpoint": {"every": 2},
        "log": {"tensorboard": False, "rollouts_every": 2},
    }


def lines(folder: Path, name: str = "metrics") -> list[dict[str, Any]]:
    """The rows of a run's log."""
    if name == ROLLOUTS:
        return [row for _, row in EpisodeRows(folder / name).read()]
    text = (folder / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def left_behind(folder: Path) -> dict[str, Any]:
    """All that a run leaves, without what depends on the clock or on workers."""
    chance = ("time/", "tokens_per_s/", "seconds", "workers/")
    return {
        "metrics": [
            {
                name: value
                for name, value in line.items()
                if not name.removeprefix("auxiliary/").startswith(chance)
            }
            for line in lines(folder)
        ],
        "rollouts": (folder / "rollouts/000000.jsonl").read_bytes(),
        "model": (folder / "model" / "model.safetensors").read_bytes(),
    }


def updates(folder: Path) -> list[dict[str, Any]]:
    """The metrics of each update."""
    return [line for line in lines(folder) if "event" not in line]

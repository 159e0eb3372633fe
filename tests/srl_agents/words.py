"""Words to write, and a tiny model that copies one from a hint and knows none by heart.

Each problem has a word of four letters that nothing in its prompt shows, so a policy without a hint
guesses it once in 256 completions, or less often. The environment is chosen by this file's path.
"""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.text.prompt import PromptStyle
from tests.srl_agents.letters import LETTERS, TOKENIZER, AnyText, Contains, base

SIZE = 4
PROMPTS = [f"{first}{second}#" for first, second in product("ab", LETTERS)]


class Words(ReasoningEnv):
    """Write the word of the prompt; with ``repeated``, its one letter twice in a row."""

    def __init__(self, repeated: bool = False, split: str = "train", **options: Any) -> None:
        chosen = random.Random(1)
        words = [chosen.choice(LETTERS) * SIZE if repeated else a_word(chosen) for _ in PROMPTS]
        problems = [
            Problem(
                prompt,
                prompt,
                word[:2] if repeated else word,
                (ExpertTrajectory((ExpertStep(word),)),),
            )
            for prompt, word in zip(PROMPTS, words, strict=True)
        ]
        parts: dict[str, Any] = {"format": AnyText(), "style": PromptStyle.bare()}
        super().__init__(ListSource(problems, "words"), Contains(), **parts | options)

    def is_final(self, action: str) -> bool:
        return True


def a_word(chosen: random.Random) -> str:
    return "".join(chosen.choice(LETTERS) for _ in range(SIZE))


def save_base(folder: Path, knows: Words | None = None, steps: int = 300) -> Path:
    """The model that copies hints, or that ``knows`` the words of an environment."""
    model, chosen = base(), random.Random(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        rows = [_row(chosen, knows) for _ in range(64)]
        loss = torch.stack([_losses(model, group) for group in _by_length(rows)]).sum() / len(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def _row(chosen: random.Random, knows: Words | None) -> tuple[str, str, str]:
    """A prompt, what is written after it, and what should be: the word of the hint, if any."""
    if knows is None:
        prompt, word = chosen.choice(PROMPTS), a_word(chosen)
    else:
        problem = knows.problems[chosen.randrange(len(PROMPTS))]
        prompt, word = problem.prompt, problem.trajectories[0].actions[0]
    hint = word if knows is None and chosen.random() < 0.7 else ""
    written = "".join(chosen.choice((letter, chosen.choice(LETTERS))) for letter in word)
    return hint + prompt, written, word


def _by_length(rows: list[tuple[str, str, str]]) -> list[list[tuple[str, str, str]]]:
    lengths = {len(prompt) for prompt, _, _ in rows}
    return [[row for row in rows if len(row[0]) == length] for length in sorted(lengths)]


def _losses(model: Any, rows: list[tuple[str, str, str]]) -> Tensor:
    """The sum over rows of the mean −log p of the word's letters, after others were written."""
    encode = TOKENIZER([prompt + written for prompt, written, _ in rows], add_special_tokens=False)
    logits = model(torch.tensor(encode["input_ids"])).logits[:, -SIZE - 1 : -1].log_softmax(-1)
    wanted = TOKENIZER([word for _, _, word in rows], add_special_tokens=False)["input_ids"]
    return -logits.gather(2, torch.tensor(wanted)[..., None]).mean((1, 2)).sum()

"""A task that RLVR alone hardly ever solves: six letters in a row, where one mistake ends it.

Its environment is chosen by this file's path. Each letter follows the one before in the alphabet,
and a follows f. A policy with random weights writes six correct ones in about one of 8⁶ episodes.
After five that are given it is one of 8, and what it learns there holds everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from srl_agents.models.small import character_tokenizer
from srl_agents.policies import TransformersPolicy
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.policy import Sampling
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.rewards.record import StepRecord
from srl_env.rollout import EnvPool, Start, rollout
from srl_env.text.prompt import PromptStyle
from srl_env.verifiers import Verdict
from srl_env.verifiers.base import AnswerVerifier
from tests.srl_agents.letters import AnyText, base

LETTERS = "abcdef"
TOKENIZER = character_tokenizer(f"{LETTERS}#")
WORDS = tuple((LETTERS * 2)[i + 1 : i + 7] for i in range(6))  # of the problems #a, #b, …


class Letter(AnyText):
    """A completion is the action alone."""

    def render(self, step: ExpertStep) -> str:
        return step.action


class Word(AnswerVerifier):
    """Correct if all actions together are the answer."""

    def extract(self, text: str) -> str | None:
        return None

    def equal(self, answer: str, expected: str) -> bool:
        return answer == expected

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        word = "".join(actions)
        return Verdict(word == problem.answer, word)


class Locks(ReasoningEnv):
    """Write the six letters after the one that is shown, one letter a step.

    words: one for each problem. free: how many of the first problems accept any letter as a step.
    """

    def __init__(self, words: Sequence[str] = WORDS, free: int = 0, **options: Any) -> None:
        problems = [
            Problem(
                f"lock-{number}",
                f"#{word[-1]}",
                word,
                (ExpertTrajectory(tuple(map(ExpertStep, word))),),
                {"free": number < free},
            )
            for number, word in enumerate(words)
        ]
        style = {"format": Letter(), "style": PromptStyle.bare()}
        super().__init__(ListSource(problems, "locks"), Word(), **{**style, **options})

    def is_final(self, action: str) -> bool:
        written, word = "".join(turn.action for turn in self.history), self.problem.answer or ""
        return len(written) >= len(word) or not word.startswith(written)

    def accepts(self, action: str, context: StepRecord) -> float:
        return float(context.problem.metadata["free"] or action == context.expert_action)


def save_base(folder: Path, seed: int) -> Path:
    """A tiny model with random weights."""
    base(TOKENIZER, seed=seed).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def save_copying_base(folder: Path, seed: int, steps: int = 400) -> Path:
    """A tiny model that copies the letters of a hint, and hardly knows what follows them.

    Later letters are the next one in the alphabet in about 27 % of the cases, so that six are
    right in about one of 2,700 episodes.
    """
    model, rng = base(TOKENIZER, seed=seed), np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = torch.zeros(())
        for given in range(6):
            texts = [_copied(rng, given) for _ in range(16)]
            ids = torch.tensor(TOKENIZER(texts, add_special_tokens=False)["input_ids"])
            logits = model(ids).logits[:, -7:-1]
            loss = loss + F.cross_entropy(logits.flatten(0, 1), ids[:, -6:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def _copied(rng: np.random.Generator, given: int) -> str:
    """A hint of some letters, a problem, and six letters that begin as the hint does."""
    first, hint = rng.choice(list(LETTERS)), "".join(rng.choice(list(LETTERS), given))
    word = hint
    while len(word) < 6:
        last = (first + word)[-1]
        following = LETTERS[(LETTERS.index(last) + 1) % 6]
        word += following if rng.random() < 0.12 else rng.choice(list(LETTERS))
    return f"{hint}#{first}{word}"


def trained(
    base: Path, out: Path, method: str, seed: int, *changes: Mapping[str, Any]
) -> TransformersPolicy:
    """The policy after a short run of a method, with these changes to its configuration."""
    tree: dict[str, Any] = {
        "out": str(out),
        "env": {"id": __file__},
        "model": {"path": str(base), "device": "cpu", "threads": 1},
        "method": method,
        "seed": seed,
        "budget": {"updates": 80},
        "train": {"lr": 3e-3, "batch": 8, "objective": {"max_tokens": 1}},
        "checkpoint": {"every": 1000},
        "log": {"tensorboard": False, "rollouts_every": 0, "kl_every": 0},
    }
    for change in changes:
        tree = merged(tree, change)
    train(make_config(tree))
    return TransformersPolicy.from_pretrained(out / "model", device="cpu")


def success(policy: TransformersPolicy, episodes: int = 32, **arguments: Any) -> float:
    """The fraction of correct episodes from each problem's beginning."""
    locks = Locks(**arguments)
    starts = [
        Start({"problem": index, "reward_mode": "rlvr"}, seed=number)
        for index in range(len(locks.problems))
        for number in range(episodes)
    ]
    done = rollout(EnvPool(lambda: Locks(**arguments)), policy, starts, Sampling(max_tokens=1))
    return sum(bool(episode.correct) for episode in done) / len(done)


def accepted(policy: TransformersPolicy, episodes: int = 16) -> float:
    """The fraction of correct letters, each after the correct ones before it."""
    step = {"reward_mode": "srl", "measure": "accepts", "max_steps": 1}
    starts = [
        Start({"problem": index, "start_step": given, **step}, seed=number)
        for index, word in enumerate(WORDS)
        for given in range(len(word))
        for number in range(episodes)
    ]
    done = rollout(EnvPool(Locks), policy, starts, Sampling(max_tokens=1))
    return sum(episode.total_reward for episode in done) / len(done)

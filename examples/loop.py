"""The whole training loop in one file: SRL on a tiny model, from the environment to AdamW.

    python examples/loop.py

`srl-env train` does the same, and adds stages, refilling, checkpoints, resume and logs. A model
with random weights learns to write the four letters that the problem asks for. Any text is a
valid step here and every step has a reward, so any sampler finds completions that differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from srl_agents import TransformersPolicy
from srl_agents.models import build, character_tokenizer
from srl_agents.objectives import aggregate, clipped_surrogate, completion_weights, group_advantages
from srl_env import (
    EnvPool,
    Episode,
    ExpertStep,
    ExpertTrajectory,
    ParsedStep,
    Problem,
    PromptStyle,
    ReasoningEnv,
    Sampling,
    Start,
    Step,
    ThinkTags,
)
from srl_env.data import ListSource
from srl_env.rollout import rollout
from srl_env.verifiers import ExactVerifier

LETTERS = "abcd"
GROUP = 8  # completions of one problem
BATCH = 8  # problems in an update
UPDATES = 25
SAMPLING = Sampling(max_tokens=4, temperature=1.0)


class AnyText(ThinkTags):
    """The whole completion is the step, and any completion is well formed."""

    instructions = ""

    def parse(self, text: str) -> ParsedStep:
        return ParsedStep(None, text.strip(), True)


class Letters(ReasoningEnv):
    """Two steps, each four times the letter before "#"."""

    def __init__(self) -> None:
        problems = []
        for letter in LETTERS:
            steps = (ExpertStep(letter * 4), ExpertStep(letter * 4))
            problems.append(Problem(letter, f"{letter}#", letter * 4, (ExpertTrajectory(steps),)))
        source = ListSource(problems, "letters")
        super().__init__(source, ExactVerifier(), format=AnyText(), style=PromptStyle.bare())


def groups(episodes: Iterable[Episode]) -> list[list[Step]]:
    """The steps that can be compared: same problem, same step, hence the same prompt.

    Infrastructure failures leave their group: they say nothing about the policy.
    """
    found = defaultdict(list)
    for episode in episodes:
        for step in episode.steps:
            if step.failure is None:
                found[episode.group, step.index].append(step)
    return [steps for steps in found.values() if len({step.reward for step in steps}) > 1]


def token_logprobs(model: Any, steps: list[Step]) -> tuple[Tensor, Tensor]:
    """Log-probs of the sampled tokens and a mask of the real ones, both (B, T)."""
    completions = [torch.tensor(step.generation.token_ids) for step in steps]
    rows = [
        torch.cat([torch.tensor(step.generation.prompt_ids), ids])
        for step, ids in zip(steps, completions, strict=True)
    ]
    logits = model(pad_sequence(rows, batch_first=True)).logits.log_softmax(-1)  # (B, L, V)
    chosen = [
        row_logits[len(row) - len(ids) - 1 : len(row) - 1].gather(-1, ids[:, None])[:, 0]
        for row_logits, row, ids in zip(logits, rows, completions, strict=True)
    ]
    mask = pad_sequence([torch.ones(len(ids), dtype=torch.bool) for ids in completions], True)
    return pad_sequence(chosen, batch_first=True), mask


def loss(model: Any, comparable: list[list[Step]]) -> Tensor:
    """GRPO's loss: each completion is pushed up or down by how it compares with its group."""
    steps = [step for group in comparable for step in group]
    numbers = torch.tensor([n for n, group in enumerate(comparable) for _ in group])
    rewards = torch.tensor([step.reward for step in steps])
    advantages = group_advantages(rewards, numbers)  # (B,)
    logprobs, mask = token_logprobs(model, steps)
    lengths = mask.sum(1)
    weights = completion_weights(lengths, torch.arange(len(steps)))
    return aggregate(clipped_surrogate(logprobs, advantages), mask, weights)


def train(seed: int = 0) -> list[float]:
    """Trains one model; the mean reward of a step in each update."""
    tokenizer = character_tokenizer(LETTERS + "#efgh")
    policy = TransformersPolicy(build("lfm2-0.3m", tokenizer, seed), tokenizer, seed=seed)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=1e-3, weight_decay=0.0)
    pool = EnvPool(Letters)
    means = []
    for update in range(UPDATES):
        starts = [
            Start({"reward_mode": "srl"}, seed=seed * 10**6 + update * BATCH + group, group=group)
            for group in range(BATCH)
            for _ in range(GROUP)
        ]
        episodes = rollout(pool, policy, starts, SAMPLING)
        comparable = groups(episodes)
        if comparable:
            optimizer.zero_grad()
            loss(policy.model, comparable).backward()
            torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
            optimizer.step()
        rewards = [step.reward for episode in episodes for step in episode.steps]
        means.append(sum(rewards) / len(rewards))
    return means


def main() -> None:
    """Prints the reward as it rises."""
    for update, reward in enumerate(train()):
        if update % 5 == 0 or update == UPDATES - 1:
            print(f"update {update:3}  mean reward {reward:.2f}")


if __name__ == "__main__":
    main()

"""A small base model for an environment whose problems and steps are texts, or calls of tools.

It is trained from scratch on the expert's steps, with their thoughts, of problems that are shorter
than those it will be judged on. Each step is a continuation of the problem and the steps before it,
in the words and order of the environment's own prompts. Positions jump where a clause begins, as
in ``examples.demo.base``; without that, longer problems are out of reach for good.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import srl_env
from examples.demo.base import (
    Rates,
    make_optimizers,
    mean_loss,
    optimizer_step,
    set_learning_rate,
)
from srl_agents import TransformersPolicy
from srl_agents.models import CONFIGS, build
from srl_agents.nn import TokenTree, make_decoder
from srl_env import ReasoningEnv
from srl_env.seeding import derive_seed, stream

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"


@dataclass(frozen=True, slots=True)
class TextRecipe(Rates):
    """Everything the base model depends on besides the code.

    env, options: the environment and its arguments, without split. pieces: a regular expression
    whose matches are the tokens; the system prompt is one token. clause_ends: the characters after
    which a clause begins. problems: how many are made; batches of ``rows`` are drawn from them.
    largest_jump: of positions, drawn for each problem, as in ``examples.demo.base``.
    """

    env: str
    options: dict[str, Any] = field(default_factory=dict)
    pieces: str = r"[A-Z][a-z]*|[0-9]+|\n+|[^A-Z0-9\n]+"
    clause_ends: str = ".?>\n"
    seed: int = 0
    taps: int = 5
    problems: int = 6000
    rows: int = 24
    largest_jump: int = 14


def train_base(
    recipe: TextRecipe, progress: Callable[[int, float], None] | None = None
) -> tuple[Any, Any]:
    """The model (fp32, on the CPU) and its tokenizer."""
    options = {**recipe.options, "split": "train", "max_problems": recipe.problems}
    env: ReasoningEnv = srl_env.make(recipe.env, **options).unwrapped
    texts = [solved(env, index) for index in range(recipe.problems)]
    tokenizer = piece_tokenizer(texts, recipe.pieces)
    config = CONFIGS["lfm2-0.3m"]()
    config.conv_L_cache = recipe.taps
    model = build(config, tokenizer, derive_seed("study base", recipe.env, recipe.seed))
    decoder = make_decoder(model)
    policy = TransformersPolicy(model, tokenizer)
    rng = stream("study base", recipe.env, recipe.seed)
    trees = _trees(rng, [encoded(policy, env, text) for text in texts], tokenizer, recipe)
    optimizers = make_optimizers(model, recipe)
    for update in range(1, recipe.updates + 1):
        set_learning_rate(optimizers, recipe, update)
        tree = next(trees)
        loss = mean_loss(decoder.score(tree), tree)
        optimizer_step(loss, optimizers, recipe)
        if progress is not None:
            progress(update, float(loss.detach()))
    return model, tokenizer


@dataclass(frozen=True, slots=True)
class Solved:
    """A problem with each step's messages and the expert's completion."""

    messages: list[Any]
    completions: list[str]


def solved(env: ReasoningEnv, index: int) -> Solved:
    """Problem number ``index``, solved by the expert."""
    _, info = env.reset(options={"problem": index, "reward_mode": "srl", "continuation": "expert"})
    found = Solved([], [])
    done = False
    while not done:
        found.messages.append(info["messages"])
        found.completions.append(env.expert_completion())
        _, _, done, _, info = env.step(found.completions[-1])
    return found


def piece_tokenizer(texts: list[Solved], pieces: str) -> Any:
    """A tokenizer whose tokens are the system prompt, and every piece that occurs in the texts."""
    heads = sorted({text.messages[0][0]["content"] for text in texts})
    systems = heads if texts[0].messages[0][0]["role"] == "system" else []
    found = {
        piece
        for text in texts
        for part in [*(m["content"] for m in text.messages[-1]), *text.completions]
        if part not in systems
        for piece in re.findall(pieces, part)
    }
    tokens = [PAD, EOS, UNKNOWN, *sorted(found)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pieces), "isolated")
    tokenizer.decoder = decoders.Fuse()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
    wrapped.add_tokens(systems)
    return wrapped


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a solution: the longest prompt, and each step with where it begins."""

    prefix: list[int]
    steps: list[tuple[int, tuple[int, ...]]]


def encoded(policy: TransformersPolicy, env: ReasoningEnv, text: Solved) -> Encoded:
    """The solution as token ids. Every prompt must begin the last one."""
    prompts = policy.encode_many(text.messages)
    completions = policy.encode_completions(text.completions, env.format.stop)
    assert all(prompts[-1][: len(prompt)] == prompt for prompt in prompts)
    starts = map(len, prompts)
    return Encoded(list(prompts[-1]), list(zip(starts, completions, strict=True)))


def _trees(
    rng: np.random.Generator, solutions: list[Encoded], tokenizer: Any, recipe: TextRecipe
) -> Iterator[TokenTree]:
    """Batches of solutions without end."""
    ends = np.zeros(len(tokenizer), np.bool_)
    for token, number in tokenizer.get_vocab().items():
        ends[number] = token[-1] in recipe.clause_ends
    while True:
        drawn = rng.integers(len(solutions), size=recipe.rows)
        yield tree_of(rng, [solutions[i] for i in drawn], ends, recipe.largest_jump)


def tree_of(
    rng: np.random.Generator, solutions: list[Encoded], ends: np.ndarray, largest_jump: int
) -> TokenTree:
    """The solutions as one tree, all of their steps scored.

    ends: (V,) whether a clause begins after the token.
    """
    steps = [(row, *step) for row, each in enumerate(solutions) for step in each.steps]
    rows = torch.tensor([row for row, _, _ in steps])
    starts = torch.tensor([start for _, start, _ in steps])
    prefixes, prefix_lengths = _padded([each.prefix for each in solutions])
    completions, lengths = _padded([ids for _, _, ids in steps])
    largest = rng.integers(0, largest_jump + 1, len(solutions))
    prefix_positions = _positions(rng, prefixes, ends, largest)
    own = _positions(rng, completions, ends, largest[rows.numpy()])
    before = prefix_positions[rows.numpy(), starts.numpy() - 1]
    return TokenTree(
        prefix_ids=torch.from_numpy(prefixes),
        prefix_lengths=prefix_lengths,
        continuation_ids=torch.from_numpy(completions),
        continuation_lengths=lengths,
        continuation_prefix=rows,
        continuation_start=starts,
        prefix_positions=torch.from_numpy(prefix_positions),
        continuation_positions=torch.from_numpy(before[:, None] + 1 + own),
        score_prefix=torch.zeros(prefixes.shape, dtype=torch.bool),
        score_continuation=torch.arange(completions.shape[1])[None] < lengths[:, None],
    )


def _padded(rows: list[Any]) -> tuple[np.ndarray, torch.Tensor]:
    lengths = np.array([len(row) for row in rows])
    table = np.zeros((len(rows), lengths.max()), np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table, torch.from_numpy(lengths)


def _positions(
    rng: np.random.Generator, ids: np.ndarray, ends: np.ndarray, largest: np.ndarray
) -> np.ndarray:
    """(N, length): 1 further each token, and 0 … largest (N,) more where a clause begins."""
    begins = np.ones(ids.shape, np.bool_)
    begins[:, 1:] = ends[ids[:, :-1]]
    jumps = rng.integers(0, largest[:, None] + 1, ids.shape) * begins
    return np.cumsum(1 + jumps, 1) - 1

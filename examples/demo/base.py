"""The demo's base model: it knows the single skills of a chain, and cannot solve long chains.

A small LFM2 learns chains of one to four definitions of ``srl/ModularChain-v0``, split
"train", from scratch in about two minutes; or graphs of ``srl/DefinitionGraph-v0``, whose steps
look the same. There are two kinds of batches:

- *bare steps*: steps after a few values, with a loss on the digits only. The higher their loss,
  the more of them, so most come first.
- *whole problems as token trees*: problem, actions and answer line are the prefix. Each step
  with its thought is a continuation that sees the problem and the actions before it. Later prompts
  look like that, with earlier thinking stripped.

Positions count up inside a clause and jump ahead at random where a clause begins. Without that,
the model never solves a problem longer than those it has seen.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples.demo.muon import Muon
from srl_agents.models import CONFIGS, build, character_tokenizer
from srl_agents.nn import TokenScores, TokenTree, make_decoder
from srl_env import Brackets
from srl_env.seeding import derive_seed, stream
from srl_tasks.generated import ALPHABET, LETTERS, DefinitionGraphSource, ModularChainSource

VALUES = 4  # stated before bare steps
BARE_STEPS = 3  # after them
SOURCES = {"modular_chain": ModularChainSource, "definition_graph": DefinitionGraphSource}

Progress = Callable[[int, float], None]
"""Called after each update with its number, from 1, and its loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How a base is optimised.

    muon_lr: for the matrices inside the layers; adam_lr: for all else. Both rise over
    ``warmup`` updates and fall to 0 from the fraction ``decay_from`` of the updates on.
    """

    updates: int = 1600
    muon_lr: float = 0.006
    adam_lr: float = 3e-3
    warmup: int = 100
    decay_from: float = 0.5
    max_grad_norm: float = 1.0


@dataclass(frozen=True, slots=True)
class Recipe(Rates):
    """Everything the base model depends on besides the code.

    family: of the problems, one of SOURCES. lengths, weights: numbers of definitions, and how often
    each is drawn. rows, bare_rows: rows of one batch. bare: the largest fraction of batches of bare
    steps; below it, the fraction is the running mean of their loss.
    out_of_turn, largest_jump: see ``problem_tree``.
    """

    seed: int = 0
    taps: int = 5
    family: str = "modular_chain"
    lengths: tuple[int, ...] = (1, 2, 3, 4)
    weights: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4)
    rows: int = 20
    bare_rows: int = 48
    bare: float = 0.7
    out_of_turn: float = 0.3
    largest_jump: int = 14

    def key(self) -> str:
        """Names this recipe and this file's code: a cached model is reused if both are the same."""
        code = "".join(Path(__file__).with_name(f).read_text() for f in ("base.py", "muon.py"))
        text = json.dumps(asdict(self), sort_keys=True) + code
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def base_model(recipe: Recipe, cache: Path, progress: Progress | None = None) -> Path:
    """A folder with the recipe's model and tokenizer, trained now unless the cache has it."""
    folder = cache / f"base-{recipe.key()}"
    if folder.exists():
        return folder
    model, tokenizer = train_base(recipe, progress)
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    (unfinished / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    if folder.exists():  # another process was faster
        shutil.rmtree(unfinished)
    else:
        unfinished.rename(folder)
    return folder


def train_base(recipe: Recipe, progress: Progress | None = None) -> tuple[Any, Any]:
    """The model (fp32, on the CPU) and its tokenizer."""
    tokenizer = character_tokenizer(ALPHABET)
    config = CONFIGS["lfm2-0.3m"]()
    config.conv_L_cache = recipe.taps
    model = build(config, tokenizer, derive_seed("demo base", recipe.seed))
    decoder = make_decoder(model)
    optimizers = make_optimizers(model, recipe)
    rng = stream("demo base", "batches", recipe.seed)
    encode = _encoder(tokenizer)
    problems = problem_trees(rng, encode, recipe)
    bare_loss = math.log(10)  # a guessed digit's
    for update in range(1, recipe.updates + 1):
        set_learning_rate(optimizers, recipe, update)
        bare = rng.random() < min(recipe.bare, bare_loss)
        tree = bare_tree(rng, encode, recipe) if bare else next(problems)
        loss = mean_loss(decoder.score(tree), tree)
        optimizer_step(loss, optimizers, recipe)
        if bare:
            bare_loss += 0.1 * (float(loss.detach()) - bare_loss)
        if progress is not None:
            progress(update, float(loss.detach()))
    return model, tokenizer


def optimizer_step(loss: Tensor, optimizers: list[torch.optim.Optimizer], rates: Rates) -> None:
    """One step down the gradient of the loss, which is clipped over all parameters."""
    loss.backward()  # type: ignore[no-untyped-call]
    params = [p for each in optimizers for group in each.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(params, rates.max_grad_norm)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def mean_loss(scores: TokenScores, tree: TokenTree) -> Tensor:
    """The mean negative log-probability of the tree's scored tokens."""
    count = tree.scored_prefix.sum() + tree.scored_continuation.sum()
    return -(scores.prefix_logprobs.sum() + scores.logprobs.sum()) / count


def make_optimizers(model: Any, recipe: Rates) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers; AdamW for embedding, norms and convolution."""
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, param in model.named_parameters():
        (matrices if param.dim() == 2 and "embed" not in name else others).append(param)
    return [
        Muon(matrices, recipe.muon_lr),
        torch.optim.AdamW(others, recipe.adam_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def set_learning_rate(optimizers: list[torch.optim.Optimizer], recipe: Recipe, update: int) -> None:
    left = (recipe.updates - update + 1) / recipe.updates
    factor = min(1.0, update / recipe.warmup, left / (1 - recipe.decay_from))
    for optimizer, lr in zip(optimizers, (recipe.muon_lr, recipe.adam_lr), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = lr * factor


def problem_trees(rng: np.random.Generator, encode: Encode, recipe: Recipe) -> Iterator[TokenTree]:
    """Batches of whole problems without end, each of one length drawn by the recipe's weights."""
    texts = {n: _texts(SOURCES[recipe.family](n, "train"), recipe.seed) for n in recipe.lengths}
    while True:
        n = recipe.lengths[rng.choice(len(recipe.lengths), p=recipe.weights)]
        yield problem_tree(rng, encode, [next(texts[n]) for _ in range(recipe.rows)], recipe)


@dataclass(frozen=True, slots=True)
class SolvedProblem:
    """The texts of a problem: its prompt, its actions, and its steps with their thoughts."""

    prompt: str
    actions: tuple[str, ...]
    steps: tuple[str, ...]


def _texts(
    source: ModularChainSource | DefinitionGraphSource, seed: int
) -> Iterator[SolvedProblem]:
    """Problems of the source in a random order of its own for each seed."""
    rng = stream("demo base", source.name, seed)
    form = Brackets()
    while True:
        problem = source[int(rng.integers(len(source)))]
        steps = problem.trajectories[0].steps
        yield SolvedProblem(
            problem.prompt,
            tuple(step.action for step in steps),
            tuple(form.render(step) for step in steps[:-1]),
        )


Ids = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Encode = Callable[[list[str]], Ids]


def _encoder(tokenizer: Any) -> Encode:
    """Texts of one length, one token a character, as ids (N, length)."""
    ids = np.full(128, tokenizer.unk_token_id)
    for token, number in tokenizer.get_vocab().items():
        if len(token) == 1:
            ids[ord(token)] = number

    def encode(texts: list[str]) -> Ids:
        characters = np.frombuffer("".join(texts).encode("ascii"), np.uint8)
        return ids[characters].reshape(len(texts), -1)

    return encode


def bare_tree(rng: np.random.Generator, encode: Encode, recipe: Recipe) -> TokenTree:
    """Rows of steps after a few values, ``k5,g6;b0,f5,(m:g6-f5)m1;(a:k5+b0)a5;(j:f5+g6)j1;``.

    Scored are the two digits looked up in each step and the digit calculated. Positions jump as
    in ``problem_tree``.
    """
    rows = recipe.bare_rows
    names = rng.permuted(np.tile(list(LETTERS), (rows, 1)), axis=1).tolist()
    values = rng.integers(0, 10, (rows, VALUES)).tolist()
    marks = rng.choice([",", ";"], (rows, VALUES)).tolist()
    texts = []
    for name, value, mark in zip(names, values, marks, strict=True):
        text = "".join(map("{}{}{}".format, name[:VALUES], value, mark))
        for new in name[VALUES : VALUES + BARE_STEPS]:
            left, right = rng.permuted(range(VALUES))[:2].tolist()
            sign = int(rng.choice([1, -1]))
            operation, result = "+-"[sign < 0], (value[left] + sign * value[right]) % 10
            text += f"({new}:{name[left]}{value[left]}{operation}{name[right]}{value[right]})"
            text += f"{new}{result};"
        texts.append(text)
    ids = encode(texts)
    digits = np.array([4, 7, 10])  # of a step's twelve characters
    scored = np.zeros(ids.shape, np.bool_)
    for step in range(BARE_STEPS):
        scored[:, 3 * VALUES + 12 * step + digits] = True
    largest = rng.integers(0, recipe.largest_jump + 1, rows)
    return _tree(ids, jumped_positions(rng, clause_starts(texts), largest), scored)


def problem_tree(
    rng: np.random.Generator, encode: Encode, problems: list[SolvedProblem], recipe: Recipe
) -> TokenTree:
    """Problems with equally many steps, all of their steps and answer lines scored.

    A share ``out_of_turn`` of the steps is put where more has been said already than need be.
    Which variable comes next is no question there and not scored; the rest of the step is, and
    can only be copied by the variable's name. Positions jump by 0 … J at the beginning of each
    clause, J up to ``largest_jump`` and drawn for each problem.
    """
    prefixes = ["".join((problem.prompt, *problem.actions)) for problem in problems]
    continuations = [step for problem in problems for step in problem.steps]
    first = problems[0]
    rows, count = len(problems), len(first.steps)
    ends = np.cumsum([len(first.prompt), *map(len, first.actions[:-1])])
    turn = np.tile(np.arange(count), (rows, 1))
    late = rng.random((rows, count)) < recipe.out_of_turn
    said = np.where(late, rng.integers(turn + 1, count + 1), turn)  # actions before the step
    largest = rng.integers(0, recipe.largest_jump + 1, rows)
    prefix_positions = jumped_positions(rng, clause_starts(prefixes), largest)
    before = np.take_along_axis(prefix_positions, ends[said] - 1, 1)
    own = jumped_positions(rng, clause_starts(continuations), np.repeat(largest, count))
    prefix_ids, continuation_ids = encode(prefixes), encode(continuations)
    scored_prefix = np.zeros(prefix_ids.shape, np.bool_)
    scored_prefix[:, ends[-1] :] = True
    scored_continuation = np.ones(continuation_ids.shape, np.bool_)
    scored_continuation[late.reshape(-1), :2] = False
    return _tree(
        prefix_ids,
        prefix_positions,
        scored_prefix,
        continuation_ids,
        before.reshape(-1, 1) + 1 + own,
        scored_continuation,
        ends[said],
    )


def clause_starts(texts: list[str]) -> Mask:
    """(N, length) True where a clause begins: at the start, after one of ",>;", and at "?"."""
    characters = np.array([list(text) for text in texts])
    starts = characters == "?"
    starts[:, 0] = True
    starts[:, 1:] |= np.isin(characters[:, :-1], list(",>;"))
    return starts


def jumped_positions(rng: np.random.Generator, clauses: Mask, largest: Ids) -> Ids:
    """Position ids (N, length): 1 further each token, and 0 … largest (N,) more at a clause."""
    jumps = rng.integers(0, largest[:, None] + 1, clauses.shape) * clauses
    return np.cumsum(1 + jumps, 1) - 1


def _tree(
    prefixes: Ids,
    prefix_positions: Ids,
    scored_prefix: Mask,
    continuations: Ids | None = None,
    continuation_positions: Ids | None = None,
    scored_continuation: Mask | None = None,
    starts: Ids | None = None,
) -> TokenTree:
    """Prefixes (P, L) without padding; P × S continuations (P·S, T) that begin at starts (P, S)."""
    rows, length = prefixes.shape
    none = np.zeros((0, 0), np.int64)
    continuations = none if continuations is None else continuations
    starts = np.zeros((rows, 0), np.int64) if starts is None else starts
    return TokenTree(
        prefix_ids=torch.from_numpy(prefixes),
        prefix_lengths=torch.full((rows,), length),
        continuation_ids=torch.from_numpy(continuations),
        continuation_lengths=torch.full((len(continuations),), continuations.shape[1]),
        continuation_prefix=torch.arange(rows).repeat_interleave(starts.shape[1]),
        continuation_start=torch.from_numpy(starts.reshape(-1)),
        prefix_positions=torch.from_numpy(prefix_positions),
        continuation_positions=None
        if continuation_positions is None
        else torch.from_numpy(continuation_positions),
        score_prefix=torch.from_numpy(scored_prefix),
        score_continuation=None
        if scored_continuation is None
        else torch.from_numpy(scored_continuation),
    )

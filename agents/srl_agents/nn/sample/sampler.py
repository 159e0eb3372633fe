"""The sampling loop: many prompts at once, token-exact, with log-probabilities.

There is no top-k, top-p or penalty: completions that are trained on must be drawn from the
model's own distribution, or the log-probabilities of sampling and training differ.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from srl_agents.nn.sample.engine import Engine
from srl_agents.nn.sample.plain import PlainEngine
from srl_agents.nn.sample.prefix_cache import Ids
from srl_agents.nn.sample.shared_prefix import SharedPrefixEngine
from srl_agents.nn.sample.stops import Stops, TokenTexts
from srl_agents.nn.score import Decoder, SharedPrefixDecoder
from srl_env.errors import BadOption
from srl_env.policy import FinishReason, Sampling
from srl_env.text.stops import thought_is_open

_RANDOM_BLOCK = 32  # steps for which random numbers are drawn at once
_COMPACT_BELOW = 0.75  # fraction of live rows at which the others are dropped
_BELOW_ONE = 1 - 1e-6  # rounding must not pass the last token with a probability


@dataclass(frozen=True, slots=True)
class Completion:
    """Sampled ids, the ending token included, and the log-probability of each.

    forced: [start, end) of ids that were not sampled; see ``Generation``.
    """

    token_ids: Ids
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    forced: tuple[int, int] = (0, 0)


class Sampler:
    """Samples completions from a decoder's model.

    The same seed and the same calls give the same completions on one machine. ``generator`` is
    the only randomness, and its state can be saved. Requests with own seeds (``Sampling.seeds``)
    do not use it.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Any,
        *,
        stop_ids: Collection[int] = (),
        seed: int = 0,
        rows: int = 1024,
        cache_bytes: int = 256 * 2**20,
        hidden_ids: Collection[int] | None = None,
        opening: str = "",
        closing: Sequence[int] = (),
    ) -> None:
        """stop_ids: tokens that end every completion. rows: how many are sampled at once.

        cache_bytes: memory for the keys and values of earlier prompts. hidden_ids: tokens that a
        completion's text does not show; None for the tokenizer's special tokens. opening: what the
        prompt has written of every completion's text. closing: ids that close a thought.
        """
        self.generator = torch.Generator().manual_seed(seed)
        self._decoder, self._stop_ids, self._rows = decoder, frozenset(stop_ids), rows
        vocabulary = int(decoder.causal_lm.config.vocab_size)
        self._texts = TokenTexts(tokenizer, vocabulary, hidden_ids)
        self._opening, self._closing = opening, torch.tensor(closing, dtype=torch.long)
        self._engine: Engine = (
            SharedPrefixEngine(decoder, cache_bytes)
            if isinstance(decoder, SharedPrefixDecoder)
            else PlainEngine(decoder)
        )

    def weights_changed(self) -> None:
        """Forget the caches of earlier prompts.

        Optimiser steps and loading are noticed without it. A change of a few elements, or adapters
        that are switched on or off, may not be.
        """
        self._engine.weights_changed()

    def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        """One completion for each prompt, in order; equal prompts are computed once.

        Log-probabilities are at the sampling temperature, for greedy decoding (temperature
        0) at 1. Raises BadOption for an empty prompt, or settings that cannot be sampled.
        """
        check_request(prompts, sampling)
        model, was_training = self._decoder.model, self._decoder.model.training
        written = self._opening + sampling.prefill
        stops = Stops(self._stop_ids, sampling.stop, self._texts, written)
        model.eval()
        try:
            return self._in_batches([tuple(prompt) for prompt in prompts], sampling, stops)
        finally:
            model.train(was_training)

    def _in_batches(self, prompts: list[Ids], sampling: Sampling, stops: Stops) -> list[Completion]:
        """Samples ``rows`` at a time, those of equal prompts next to each other."""
        numbers: dict[Ids, int] = {}
        number_of = [numbers.setdefault(prompt, len(numbers)) for prompt in prompts]
        order = sorted(range(len(prompts)), key=number_of.__getitem__)
        done: list[Completion | None] = [None] * len(prompts)
        for begin in range(0, len(order), self._rows):
            rows = order[begin : begin + self._rows]
            completions = self._batch([prompts[row] for row in rows], sampling.of(rows), stops)
            for row, completion in zip(rows, completions, strict=True):
                done[row] = completion
        return [completion for completion in done if completion is not None]

    @torch.inference_mode()
    def _batch(self, prompts: list[Ids], sampling: Sampling, stops: Stops) -> list[Completion]:
        """Completions of prompts of which equal ones stand next to each other."""
        copies: dict[Ids, int] = {}
        for prompt in prompts:
            copies[prompt] = copies.get(prompt, 0) + 1
        session = self._engine.start(list(copies), list(copies.values()))
        record = _Record(len(prompts), sampling.max_tokens)
        going = torch.arange(len(prompts))  # the rows of the session
        randoms = _Randoms(self.generator, len(prompts), sampling.seeds)
        for step in range(sampling.max_tokens):
            draw = randoms.at(step)[going] if sampling.temperature else None
            tokens, logprobs = choose(session.logits, sampling.temperature, draw)
            if sampling.max_thinking_tokens is not None:
                closed = step - sampling.max_thinking_tokens
                if closed == 0:
                    self._find_open(record, step, self._opening + sampling.prefill)
                if 0 <= closed < len(self._closing):
                    forced = record.forced[going].to(tokens.device)
                    tokens = tokens.where(~forced, int(self._closing[closed]))
                    logprobs = logprobs.where(~forced, 0.0)
            record.add(going, step, tokens, logprobs)
            ended = stops.ended(tokens.cpu(), record.tokens[going, : step + 1])
            record.ended[going[ended]] = True
            if bool(record.ended.all()) or step + 1 == sampling.max_tokens:
                break
            alive = ~record.ended[going]
            if int(alive.sum()) <= _COMPACT_BELOW * len(going):
                kept = alive.nonzero()[:, 0]
                session.keep(kept)
                going, tokens = going[kept], tokens[kept.to(tokens.device)]
            session.step(tokens)
        return record.completions(sampling.max_thinking_tokens, len(self._closing))

    def _find_open(self, record: _Record, made: int, written: str) -> None:
        """Marks the rows whose thought is still open after ``made`` tokens."""
        for row in (~record.ended).nonzero()[:, 0].tolist():
            text = written + self._texts.whole(record.tokens[row, :made].tolist())
            record.forced[row] = thought_is_open(text)


def check_request(prompts: Sequence[Sequence[int]], sampling: Sampling) -> None:
    """BadOption for an empty prompt, or settings that cannot be sampled."""
    if not 0 <= sampling.temperature < math.inf:
        raise BadOption(
            f"temperature must be a finite number >= 0 (0 means greedy); got {sampling.temperature}"
        )
    if sampling.max_tokens < 1:
        raise BadOption(f"max_tokens must be at least 1; got {sampling.max_tokens}")
    if sampling.seeds and len(sampling.seeds) != len(prompts):
        raise BadOption(
            f"seeds must be one for each of {len(prompts)} prompts; got {len(sampling.seeds)}"
        )
    for i, prompt in enumerate(prompts):
        if not len(prompt):
            raise BadOption(f"prompt {i} must have at least one token; got none")


def choose(logits: Tensor, temperature: float, random: Tensor | None) -> tuple[Tensor, Tensor]:
    """Tokens (rows,) and their log-probabilities (rows,) from logits (rows, V).

    random: (rows,) uniform in [0, 1), or None for the most probable token, whose
    log-probability is that at temperature 1.
    """
    if temperature and temperature != 1.0:
        logits = logits / temperature
    probabilities = torch.softmax(logits, -1)
    if random is None:
        tokens = logits.argmax(-1, keepdim=True)
    else:
        tokens = _inverted(probabilities, random.to(logits.device)[:, None])
    return tokens[:, 0], probabilities.gather(1, tokens).log()[:, 0]


def _inverted(probabilities: Tensor, random: Tensor) -> Tensor:
    """(rows, 1) where the cumulative distribution passes ``random`` (rows, 1).

    Much faster than ``torch.multinomial``; in blocks, which is faster again and keeps sums
    over large vocabularies exact. Tokens of probability 0 are never reached.
    """
    rows, vocabulary = probabilities.shape
    width = math.isqrt(vocabulary - 1) + 1
    blocks = F.pad(probabilities, (0, -vocabulary % width)).view(rows, -1, width)
    sums = blocks.sum(-1).cumsum(-1)  # (rows, blocks)
    point = random * sums[:, -1:] * _BELOW_ONE
    block = torch.searchsorted(sums, point, right=True).clamp_(max=sums.shape[1] - 1)
    inside = blocks[torch.arange(rows, device=block.device), block[:, 0]].cumsum(-1)
    point = point - F.pad(sums, (1, 0)).gather(1, block)
    point = torch.minimum(point, inside[:, -1:] * _BELOW_ONE)
    token = block * width + torch.searchsorted(inside, point, right=True)
    return token.clamp_(max=vocabulary - 1)  # NaN logits may give any token


class _Randoms:
    """Uniform numbers, the same for a row whichever other rows are live.

    seeds: one for each row, which alone decides its numbers; () draws from the generator.
    """

    def __init__(self, generator: torch.Generator, rows: int, seeds: Sequence[int] = ()) -> None:
        self._generator, self._rows = generator, rows
        self._streams = [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]
        self._block = torch.empty(0, rows)

    def at(self, step: int) -> Tensor:
        """(rows,) in [0, 1); steps are asked for in order."""
        if step % _RANDOM_BLOCK == 0:
            self._block = self._drawn()
        return self._block[step % _RANDOM_BLOCK]

    def _drawn(self) -> Tensor:
        """(steps, rows)."""
        if not self._streams:
            return torch.rand(_RANDOM_BLOCK, self._rows, generator=self._generator)
        drawn = [stream.random(_RANDOM_BLOCK, np.float32) for stream in self._streams]
        return torch.from_numpy(np.stack(drawn, axis=1))


class _Record:
    """The tokens of each row so far."""

    def __init__(self, rows: int, max_tokens: int) -> None:
        self.tokens = torch.zeros(rows, max_tokens, dtype=torch.long)
        self._logprobs = torch.zeros(rows, max_tokens)
        self._lengths = torch.zeros(rows, dtype=torch.long)
        self.ended = torch.zeros(rows, dtype=torch.bool)
        self.forced = torch.zeros(rows, dtype=torch.bool)

    def add(self, rows: Tensor, step: int, tokens: Tensor, logprobs: Tensor) -> None:
        self.tokens[rows, step] = tokens.cpu()
        self._logprobs[rows, step] = logprobs.float().cpu()
        self._lengths[rows] += ~self.ended[rows]

    def completions(self, begin: int | None = None, count: int = 0) -> list[Completion]:
        """All rows, each up to its end. begin, count: where the forced ids of some rows are."""
        parts = (self.tokens, self._logprobs, self._lengths, self.ended, self.forced)
        return [
            Completion(
                tuple(tokens[:length]),
                tuple(logprobs[:length]),
                "stop" if ended else "length",
                (begin, min(begin + count, length)) if forced and begin is not None else (0, 0),
            )
            for tokens, logprobs, length, ended, forced in zip(
                *(p.tolist() for p in parts), strict=True
            )
        ]

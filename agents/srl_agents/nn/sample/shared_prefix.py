"""Sampling with a ``SharedPrefixDecoder``'s network: shared prompts, own caches.

Prompts that begin one another share one prefix. Each prefix is computed once, from where an
earlier one's cache ends. All completions of it share its keys: the queries of a chunk of
completions meet them in one matrix product. Completions have own caches that grow as needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from srl_agents.nn.layout import chunked
from srl_agents.nn.network import Attention, Network, Turns, additive, softcapped
from srl_agents.nn.sample.engine import Engine, Session
from srl_agents.nn.sample.prefill import inputs_at, prefill
from srl_agents.nn.sample.prefix_cache import Ids, Prefilled, PrefixCache
from srl_agents.nn.score.shared_prefix import SharedPrefixDecoder
from srl_agents.nn.tree import shared_prefixes

_FINGERPRINT_ELEMENTS = 2048  # of each parameter, to notice that weights have changed
_STEPS_AHEAD = 64  # for which positions' angles are made at once
_FIRST_CAPACITY = 16  # tokens an own cache holds at first; it doubles when full


class SharedPrefixEngine(Engine):
    """The engine of models with a ``SharedPrefixDecoder``."""

    def __init__(self, decoder: SharedPrefixDecoder, cache_bytes: int) -> None:
        """cache_bytes: how much of earlier prompts' keys and values is kept for reuse."""
        self._decoder = decoder
        self._cache = PrefixCache(cache_bytes)
        self._fingerprint = torch.empty(0)

    def start(self, prompts: Sequence[Ids], copies: Sequence[int]) -> Session:
        """A session with ``copies[i]`` rows of each distinct prompt, in order."""
        self._forget_if_changed()
        network, device = self._decoder.network.fused(), self._decoder.device
        # Prefixes in the order of their first prompts, so that rows mostly are slots in order.
        shared = sorted(shared_prefixes(prompts), key=lambda each: min(each[1]))
        prefixes = [prefix for prefix, _ in shared]
        known = [
            self._cache.find(prefix, below=min(len(prompts[i]) for i in numbers))
            for prefix, numbers in shared
        ]
        prefilled, hidden = prefill(network, prefixes, known, device)
        self._cache.add(prefilled)
        prefix_of = torch.empty(len(prompts), dtype=torch.long)
        for number, (_, numbers) in enumerate(shared):
            prefix_of[numbers] = number
        length = torch.tensor([len(prompt) for prompt in prompts])
        start = torch.tensor([0 if each is None else each.length for each in known])
        last = hidden[prefix_of.to(device), (length - 1 - start[prefix_of]).to(device)]
        row_of = torch.repeat_interleave(torch.arange(len(prompts)), torch.tensor(copies))
        logits = network.logits(last)[row_of.to(device)]
        return _Session(network, prefilled, logits, _Rows(prefix_of[row_of], length[row_of]))

    def weights_changed(self) -> None:
        """Forget the prompts computed with earlier weights."""
        self._cache.clear()

    def _forget_if_changed(self) -> None:
        fingerprint = _fingerprint(self._decoder.model)
        known = self._fingerprint
        if fingerprint.device != known.device or not torch.equal(fingerprint, known):
            self._fingerprint = fingerprint
            self.weights_changed()


def _fingerprint(model: torch.nn.Module) -> Tensor:
    """Some elements of every parameter, all of small ones.

    Version counters would not do: fused optimisers and ``parameter.data`` leave them alone.
    """
    samples = []
    for parameter in model.parameters():
        step = max(1, parameter.numel() // _FINGERPRINT_ELEMENTS)
        samples.append(parameter.detach().flatten()[::step].float())
    return torch.cat(samples)


class _Session(Session):
    """Rows that share their prefixes' caches and have their own for what they add."""

    def __init__(self, network: Network, prefilled: Prefilled, logits: Tensor, rows: _Rows) -> None:
        self.logits = logits
        self._network = network
        self._groups = _Groups(rows, len(prefilled.prompts), logits.device)
        self._position = rows.length.to(logits.device)
        self._table: Turns = {}  # of positions 0, 1, 2, …
        self._reach = 0  # how many positions the table has
        self._caches: list[_AttentionCache | _ConvCache] = [
            _AttentionCache(held, self._groups)
            if len(held) == 2
            else _ConvCache(held[0], self._groups)
            for held in prefilled.layers
        ]

    def step(self, tokens: Tensor) -> None:
        """Append one token to each row and make the next logits."""
        hidden = self._network.embed(tokens)
        turns = self._turns(hidden)
        self._groups.begin_step()
        hidden = self._network.run(hidden, turns, self._caches)
        self._position = self._position + 1
        self.logits = self._network.logits(hidden)

    def keep(self, rows: Tensor) -> None:
        """Continue with these rows only."""
        self._groups.keep(rows)
        on_device = rows.to(self._position.device)
        self._position = self._position[on_device]
        self.logits = self.logits[on_device]
        for cache in self._caches:
            cache.keep(on_device)

    def _turns(self, hidden: Tensor) -> Turns:
        """The turns of every row's position, from a table made for many steps ahead."""
        reach = self._groups.longest + self._groups.made + 1
        if reach > self._reach:
            self._reach = reach + _STEPS_AHEAD
            positions = torch.arange(self._reach, device=hidden.device)
            self._table = self._network.turns(hidden, positions)
        at = self._position
        return {kind: (cos[at], sin[at]) for kind, (cos, sin) in self._table.items()}


class _Rows(NamedTuple):
    """The prefix of each row, and how many of its tokens the row's prompt is; on the CPU."""

    prefix: Tensor
    length: Tensor


class _Groups:
    """Which rows share which prefix, and which keys each row's query sees at this step.

    Rows stand in R chunks of C slots, each chunk for one prefix; often a slot is a row.
    """

    def __init__(self, rows: _Rows, prefixes: int, device: torch.device) -> None:
        self.rows, self.prefixes, self.device = rows, prefixes, device
        self.longest = int(rows.length.max())
        self.made = 0  # tokens of each row after its prompt
        self._masks: dict[int | None, Tensor | None] = {}
        self._regroup()

    def keep(self, rows: Tensor) -> None:
        """Continue with these rows only."""
        self.rows = _Rows(*(part[rows] for part in self.rows))
        self._regroup()

    def begin_step(self) -> None:
        """One more token per row, which needs new masks."""
        self.made += 1
        self._masks = {}

    def _regroup(self) -> None:
        chunks = chunked(self.rows.prefix, self.prefixes, 1)
        rows = torch.arange(len(self.rows.prefix))
        self.chunks = len(chunks.prefix)
        self.prefix_of: Tensor | None = None  # of each chunk; None where they are all, in order
        if not torch.equal(chunks.prefix, torch.arange(self.prefixes)):
            self.prefix_of = chunks.prefix.to(self.device)
        self.slot_of: Tensor | None = None  # of each row; None where they are all, in order
        if chunks.slots != len(rows) or not torch.equal(chunks.slot_of, rows):
            row_in = torch.zeros(chunks.slots, dtype=torch.long)
            row_in[chunks.slot_of] = rows
            self.slot_of, self.row_in = chunks.slot_of.to(self.device), row_in.to(self.device)
        self._ragged = bool((self.rows.length != self.longest).any())
        self._row_lengths = self.rows.length.to(self.device)[:, None]

    def of_chunks(self, held: Tensor) -> Tensor:
        """(heads, R, L, d) of what is held for the prefixes, (heads, P, L, d)."""
        return held if self.prefix_of is None else held[:, self.prefix_of]

    def times(self, rows: Tensor, held: Tensor) -> Tensor:
        """(heads, rows, g, y): rows (heads, rows, g, x) times their prefix's (heads, R, x, y)."""
        slots = rows if self.slot_of is None else rows[:, self.row_in]
        heads, _, shared, inner = slots.shape
        grouped = slots.reshape(heads, self.chunks, -1, inner)
        product = (grouped @ held).view(heads, -1, shared, held.shape[3])
        return product if self.slot_of is None else product[:, self.slot_of]

    def mask(self, window: int | None, length: int, width: int, like: Tensor) -> Tensor | None:
        """(rows, 1, length + width) additive over prompt keys and own keys; None for zeros."""
        if window not in self._masks:
            self._masks[window] = self._make_mask(window, length, width, like)
        return self._masks[window]

    def _make_mask(
        self, window: int | None, length: int, width: int, like: Tensor
    ) -> Tensor | None:
        if window is None and width == self.made and not self._ragged:
            return None
        prompt_at = torch.arange(length, device=self.device)
        own_at = torch.arange(width, device=self.device).expand(len(self.rows.length), -1)
        prompt_seen, own_seen = prompt_at < self._row_lengths, own_at < self.made
        if window is not None:  # the query stands at its prompt's length + made - 1
            prompt_seen &= prompt_at >= self._row_lengths + self.made - window
            own_seen &= own_at >= self.made - window
        return additive(torch.cat([prompt_seen, own_seen], 1), like)[:, None]


class _AttentionCache:
    """Keys and values of one layer, heads first: the prefixes', shared, and each row's own."""

    def __init__(self, held: tuple[Tensor, ...], groups: _Groups) -> None:
        self._groups, self._held = groups, held
        heads, _, _, dim = held[0].shape
        rows = len(groups.rows.length)
        self._own = [part.new_zeros(heads, rows, _FIRST_CAPACITY, dim) for part in held]
        self._keys, self._values = (groups.of_chunks(part) for part in held)

    def attend(self, attention: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Each row's new token, which the cache keeps, sees its prompt and all of its own."""
        own_keys, own_values = self._append(key, value)
        rows, key_heads, dim = key.shape
        if attention.scale != 1:
            query = query * attention.scale
        query = query.reshape(rows, key_heads, -1, dim).transpose(0, 1).contiguous()
        length, width = self._keys.shape[2], own_keys.shape[2]
        over_prompt = self._groups.times(query, self._keys.transpose(2, 3))
        scores = torch.cat([over_prompt, query @ own_keys.transpose(2, 3)], -1)
        scores = softcapped(scores, attention.softcap)
        mask = self._groups.mask(attention.window, length, width, scores)
        if mask is not None:
            scores += mask
        weights = torch.softmax(scores, -1, dtype=torch.float32).to(scores.dtype)
        mixed = self._groups.times(weights[..., :length], self._values)
        mixed = mixed + weights[..., length:] @ own_values  # (key heads, rows, shared, d)
        return mixed.transpose(0, 1).reshape(rows, -1)

    def keep(self, rows: Tensor) -> None:
        """Continue with these rows only; the groups have been renewed already."""
        self._own = [part[:, rows] for part in self._own]
        self._keys, self._values = (self._groups.of_chunks(part) for part in self._held)

    def _append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Own keys and values (key heads, rows, width, d) with one more token each.

        The width is the number of tokens made; at first it is more, because products with
        few columns are slow, and the rest is masked.
        """
        made, capacity = self._groups.made, self._own[0].shape[2]
        if made > capacity:
            self._own = [torch.cat([part, torch.zeros_like(part)], 2) for part in self._own]
        for part, new in zip(self._own, (key, value), strict=True):
            part[:, :, made - 1] = new.transpose(0, 1)
        width = max(made, _FIRST_CAPACITY)
        return self._own[0][:, :, :width], self._own[1][:, :, :width]


class _ConvCache:
    """The last inputs of one short convolution for each row, the newest first."""

    def __init__(self, held: Tensor, groups: _Groups) -> None:
        self._held, self._groups = held, groups
        self._last: list[Tensor] | None = None

    def earlier(self, inputs: Tensor, count: int) -> list[Tensor]:
        """The inputs before each row's new token, which becomes the last; see ``ConvContext``."""
        if self._last is None:
            row, length = (part.to(inputs.device) for part in self._groups.rows)
            self._last = [inputs_at(self._held, row, length - 1 - back) for back in range(count)]
        last, self._last = self._last, [inputs, *self._last][:count]
        return last

    def keep(self, rows: Tensor) -> None:
        """Continue with these rows only."""
        if self._last is not None:
            self._last = [last[rows] for last in self._last]

"""Sampling with a ``SharedPrefixDecoder``'s network: shared prompts, own caches.

Prompts that are beginnings of one another live on one prefix. Each prefix is computed once, from
where an earlier one's cache ends, and its keys are shared by all completions on it: the
queries of a chunk of completions meet them in one matrix product. Completions have caches of
their own that grow as needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from srl_agents.nn.layers import angles, rms_norm, rotated
from srl_agents.nn.layout import chunked
from srl_agents.nn.network import Network
from srl_agents.nn.sample.engine import Engine, Session
from srl_agents.nn.sample.prefix_cache import CachedPrefix, Ids, Prefilled, PrefixCache
from srl_agents.nn.score.shared_prefix import SharedPrefixDecoder
from srl_agents.nn.tree import shared_prefixes
from srl_agents.nn.weights import AttentionWeights, ConvWeights, LayerWeights, Weights, prepare

_FINGERPRINT_ELEMENTS = 2048  # of each parameter, to notice that weights have changed
_STEPS_AHEAD = 64  # for which positions' angles are made at once
_FIRST_CAPACITY = 16  # tokens an own cache holds at first; it doubles when full


class SharedPrefixEngine(Engine):
    """The engine of models with a ``SharedPrefixDecoder``."""

    def __init__(self, decoder: SharedPrefixDecoder, cache_bytes: int) -> None:
        """cache_bytes: how much of earlier prompts' keys and values is kept for reuse."""
        self._decoder = decoder
        self._prefixes = PrefixCache(cache_bytes)
        self._fingerprint = torch.empty(0)

    def start(self, prompts: Sequence[Ids], copies: Sequence[int]) -> Session:
        """A session with ``copies[i]`` rows of each distinct prompt, in order."""
        self._forget_if_changed()
        network = self._decoder.network
        weights = prepare(network)
        on_prefixes = _OnPrefixes.of(prompts)
        known = [
            self._prefixes.find(prefix, below)
            for prefix, below in zip(on_prefixes.prefixes, on_prefixes.shortest, strict=True)
        ]
        prefill = _Prefill(network, weights, on_prefixes.prefixes, known)
        prefilled, hidden = prefill.run(on_prefixes, self._decoder.device)
        self._prefixes.add(prefilled)
        return SharedPrefixSession(network, weights, prefilled, hidden, on_prefixes.rows(copies))

    def weights_changed(self) -> None:
        """Forget the prompts computed with earlier weights."""
        self._prefixes.clear()

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


@dataclass(frozen=True, slots=True)
class _OnPrefixes:
    """N prompts as beginnings of T prefixes, on the CPU.

    prefix_of: (N,) the prefix of each. lengths: (N,) how many of its tokens it is. shortest: of
    each prefix, the fewest tokens that any of its prompts is.
    """

    prefixes: tuple[Ids, ...]
    shortest: tuple[int, ...]
    prefix_of: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, prompts: Sequence[Ids]) -> _OnPrefixes:
        """The prompts, prefixes in the order in which the first of their prompts comes."""
        shared = sorted(shared_prefixes(prompts), key=lambda prefix: min(prefix[1]))
        prefix_of = torch.empty(len(prompts), dtype=torch.long)
        for prefix, (_, numbers) in enumerate(shared):
            prefix_of[numbers] = prefix
        return cls(
            prefixes=tuple(prefix for prefix, _ in shared),
            shortest=tuple(min(len(prompts[i]) for i in numbers) for _, numbers in shared),
            prefix_of=prefix_of,
            lengths=torch.tensor([len(prompt) for prompt in prompts]),
        )

    def rows(self, copies: Sequence[int]) -> _Rows:
        """``copies[i]`` rows of each prompt, in order."""
        prompt_of = torch.repeat_interleave(torch.arange(len(copies)), torch.tensor(copies))
        return _Rows(prompt_of, self.prefix_of[prompt_of], self.lengths[prompt_of])


class _Rows(NamedTuple):
    """Of each row, on the CPU: its prompt, that prompt's prefix, and its length in tokens."""

    prompt: Tensor
    prefix: Tensor
    length: Tensor


class _Prefill:
    """The new tokens of T prefixes through the network, over what is known of each."""

    def __init__(
        self,
        network: Network,
        weights: Weights,
        prefixes: tuple[Ids, ...],
        known: Sequence[CachedPrefix | None],
    ) -> None:
        self.network, self.weights = network, weights
        self.prefixes, self.known = prefixes, known
        self.start = [0 if prefix is None else prefix.length for prefix in known]
        self.length = max(map(len, prefixes))

    def run(self, prompts: _OnPrefixes, device: torch.device) -> tuple[Prefilled, Tensor]:
        """The computed prefixes, and the hidden state of each prompt's last token (N, hidden)."""
        fresh = [ids[start:] for ids, start in zip(self.prefixes, self.start, strict=True)]
        counts = torch.tensor([len(ids) for ids in fresh])
        ids = torch.tensor([token for row in fresh for token in row], device=device)
        row = torch.repeat_interleave(torch.arange(len(fresh)), counts)
        first = counts.cumsum(0) - counts
        offset = torch.arange(len(row)) - first[row]
        at = torch.tensor(self.start)[row] + offset
        self.row, self.at = row.to(device), at.to(device)
        self.width = int(counts.max())
        self.grid_cell = (row * self.width + offset).to(device)  # of each token in (T, width)
        grid = torch.zeros(len(fresh) * self.width, dtype=torch.long)
        grid[row * self.width + offset] = torch.arange(len(row))
        self.grid = grid.to(device)
        self.starts = torch.tensor(self.start, device=device)
        hidden = self.weights.embed(ids)
        self.angles = angles(self.network.rotary, hidden, self.at)
        caches = []
        for index, layer in enumerate(self.weights.layers):
            mixed, cache = self._mix(index, layer, layer.mixer_norm(hidden))
            caches.append(cache)
            hidden = _feed_forward(layer, hidden + mixed)
        last = first[prompts.prefix_of] + prompts.lengths - 1
        last -= torch.tensor(self.start)[prompts.prefix_of]
        return Prefilled(self.prefixes, tuple(caches)), hidden[last.to(device)]

    def _mix(
        self, index: int, layer: LayerWeights, normed: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if isinstance(layer.mixer, ConvWeights):
            return self._convolve(index, layer.mixer, normed)
        return self._attend(index, layer.mixer, normed)

    def _attend(
        self, index: int, weights: AttentionWeights, normed: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        query, key, value = _heads(self.network, weights, normed, *self.angles)
        rows = len(self.prefixes)
        keys, values = self._filled(index, 0, key), self._filled(index, 1, value)
        grid = query[self.grid].view(rows, self.width, *query.shape[1:]).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(
            grid,
            keys.transpose(0, 1),
            values.transpose(0, 1),
            attn_mask=self._mask(weights.window),
            is_causal=self._is_causal(weights.window),
            scale=1.0,
            enable_gqa=self.network.heads != self.network.key_heads,
        )
        flat = mixed.transpose(1, 2).reshape(rows * self.width, -1)[self.grid_cell]
        return weights.mix_out(flat), (keys, values)

    def _filled(self, index: int, which: int, fresh: Tensor) -> Tensor:
        """(heads, T, L, d): what is known of a layer with the fresh tokens' (N, heads, d)."""
        buffer = fresh.new_zeros(fresh.shape[1], len(self.prefixes), self.length, fresh.shape[2])
        for source, here, there in self._sources():
            held = source.layers[index][which]
            width = min(held.shape[2], self.length)
            buffer[:, here, :width] = held[:, there, :width]
        buffer[:, self.row, self.at] = fresh.transpose(0, 1)
        return buffer

    def _sources(self) -> list[tuple[Prefilled, Tensor, Tensor]]:
        """Where known beginnings come from: source, rows here, rows there."""
        by_source: dict[int, tuple[Prefilled, list[int], list[int]]] = {}
        for row, prefix in enumerate(self.known):
            if prefix is not None:
                entry = by_source.setdefault(id(prefix.source), (prefix.source, [], []))
                entry[1].append(row)
                entry[2].append(prefix.row)
        device = self.row.device
        return [
            (source, torch.tensor(here, device=device), torch.tensor(there, device=device))
            for source, here, there in by_source.values()
        ]

    def _is_causal(self, window: int | None) -> bool:
        return not any(self.start) and window is None

    def _mask(self, window: int | None) -> Tensor | None:
        """(T, 1, width, L) bool, which keys each query sees; None for plain causal."""
        if self._is_causal(window):
            return None
        device = self.row.device
        query_at = self.starts[:, None, None] + torch.arange(self.width, device=device)[:, None]
        key_at = torch.arange(self.length, device=device)
        seen = key_at <= query_at
        if window is not None:
            seen &= key_at > query_at - window
        return seen[:, None]

    def _convolve(
        self, index: int, weights: ConvWeights, normed: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        before, after, x = weights.mix_in(normed).chunk(3, -1)
        fresh = before * x
        inputs = self._filled(index, 0, fresh[:, None])
        mixed = fresh * weights.taps[0]
        for back in range(1, len(weights.taps)):
            at = self.at - back
            earlier = inputs[0, self.row, at.clamp(min=0)] * (at >= 0)[:, None]
            mixed = mixed + earlier * weights.taps[back]
        if weights.bias is not None:
            mixed = mixed + weights.bias
        return weights.mix_out(after * mixed), (inputs,)


class SharedPrefixSession(Session):
    """Rows that share their prefixes' caches and have their own for what they add."""

    def __init__(
        self,
        network: Network,
        weights: Weights,
        prefilled: Prefilled,
        hidden: Tensor,
        rows: _Rows,
    ) -> None:
        self._network, self._weights = network, weights
        device = hidden.device
        self._shared = _Shared(rows, len(prefilled.prompts), device)
        self._position = rows.length.to(device)
        self._longest = int(rows.length.max())
        self._table = (torch.empty(0), torch.empty(0))  # cosines and sines of positions
        self._caches: list[_AttentionCache | _ConvCache] = [
            _ConvCache(layer.mixer, held[0], self._shared)
            if isinstance(layer.mixer, ConvWeights)
            else _AttentionCache(network, layer.mixer, held, self._shared)
            for layer, held in zip(weights.layers, prefilled.layers, strict=True)
        ]
        logits = weights.head(weights.norm(hidden)).float()
        self.logits = logits[rows.prompt.to(device)]

    def step(self, tokens: Tensor) -> None:
        """Append one token to each row and make the next logits."""
        hidden = self._weights.embed(tokens)
        turn = self._turn(hidden)
        self._shared.begin_step()
        for layer, cache in zip(self._weights.layers, self._caches, strict=True):
            normed = layer.mixer_norm(hidden)
            hidden = _feed_forward(layer, hidden + cache.mix(normed, *turn))
        self._position = self._position + 1
        self.logits = self._weights.head(self._weights.norm(hidden)).float()

    def _turn(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of every row's position, from a table made for many steps ahead."""
        reach = self._longest + self._shared.made + 1
        if reach > self._table[0].shape[0]:
            positions = torch.arange(reach + _STEPS_AHEAD, device=hidden.device)
            self._table = angles(self._network.rotary, hidden, positions)
        return self._table[0][self._position], self._table[1][self._position]

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self._shared.keep(rows)
        on_device = rows.to(self._position.device)
        self._position = self._position[on_device]
        self.logits = self.logits[on_device]
        for cache in self._caches:
            cache.keep(on_device)


class _Shared:
    """Which rows share which prefix, and what each row's query may see at this step.

    Rows stand in R chunks of C slots, each chunk for one prefix; often a slot is a row.
    """

    def __init__(self, rows: _Rows, prefixes: int, device: torch.device) -> None:
        self.rows, self.prefixes, self.device = rows, prefixes, device
        self._longest = int(rows.length.max())
        self.made = 0
        self._regroup()

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.rows = _Rows(*(part[rows] for part in self.rows))
        self._regroup()

    def begin_step(self) -> None:
        """One more token per row: masks are made anew."""
        self.made += 1
        self._masks: dict[int | None, Tensor | None] = {}

    def _regroup(self) -> None:
        chunks = chunked(self.rows.prefix, self.prefixes, 1)
        rows = torch.arange(len(self.rows.prefix))
        self.chunks = len(chunks.chunk_prefix)
        self.prefix_of: Tensor | None = None  # of each chunk; None where they are all, in order
        if not torch.equal(chunks.chunk_prefix, torch.arange(self.prefixes)):
            self.prefix_of = chunks.chunk_prefix.to(self.device)
        self.slot_of: Tensor | None = None
        self.row_in: Tensor | None = None
        if chunks.slots != len(rows) or not torch.equal(chunks.slot_of, rows):
            row_in = torch.zeros(chunks.slots, dtype=torch.long)
            row_in[chunks.slot_of] = rows
            self.slot_of, self.row_in = chunks.slot_of.to(self.device), row_in.to(self.device)
        self._ragged = bool((self.rows.length != self._longest).any())
        self._row_lengths = self.rows.length.to(self.device)[:, None]

    def of_chunks(self, held: Tensor) -> Tensor:
        """(heads, R, L, d) of what is held for the prefixes, (heads, T, L, d)."""
        return held if self.prefix_of is None else held[:, self.prefix_of]

    def times(self, rows: Tensor, held: Tensor) -> Tensor:
        """(heads, rows, g, y): rows (heads, rows, g, x) times their prefix's (heads, R, x, y)."""
        slots = rows if self.row_in is None else rows[:, self.row_in]
        heads, _, shared, inner = slots.shape
        grouped = slots.reshape(heads, self.chunks, -1, inner)
        product = (grouped @ held).view(heads, -1, shared, held.shape[3])
        return product if self.slot_of is None else product[:, self.slot_of]

    def mask(
        self, window: int | None, length: int, width: int, dtype: torch.dtype
    ) -> Tensor | None:
        """(rows, 1, length + width) additive over prompt keys and own keys; None for zeros."""
        if window not in self._masks:
            self._masks[window] = self._make_mask(window, length, width, dtype)
        return self._masks[window]

    def _make_mask(
        self, window: int | None, length: int, width: int, dtype: torch.dtype
    ) -> Tensor | None:
        if window is None and width == self.made and not self._ragged:
            return None
        prompt_at = torch.arange(length, device=self.device)
        own_at = torch.arange(width, device=self.device).expand(len(self.rows.length), -1)
        prompt_seen, own_seen = prompt_at < self._row_lengths, own_at < self.made
        if window is not None:  # the query stands at its prompt's length + made - 1
            prompt_seen &= prompt_at >= self._row_lengths + self.made - window
            own_seen &= own_at >= self.made - window
        seen = torch.cat([prompt_seen, own_seen], 1)
        mask = torch.zeros(seen.shape, dtype=dtype, device=self.device)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


class _AttentionCache:
    """Keys and values of one layer, heads first: the prompts', shared, and each row's own."""

    def __init__(
        self,
        network: Network,
        weights: AttentionWeights,
        held: tuple[Tensor, ...],
        shared: _Shared,
    ) -> None:
        self._network, self._weights, self._shared = network, weights, shared
        self._held = held
        heads, _, _, dim = held[0].shape
        rows = len(shared.rows.length)
        self._own = [part.new_zeros(heads, rows, _FIRST_CAPACITY, dim) for part in held]
        self._keys, self._values = (shared.of_chunks(part) for part in held)

    def mix(self, normed: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(rows, hidden): attention of each row's new token, which is added to its cache."""
        query, key, value = _heads(self._network, self._weights, normed, cos, sin)
        own_keys, own_values = self._append(key, value)
        rows, key_heads, dim = key.shape
        query = query.view(rows, key_heads, -1, dim).transpose(0, 1).contiguous()
        length, width = self._keys.shape[2], own_keys.shape[2]
        over_prompt = self._shared.times(query, self._keys.transpose(2, 3))
        scores = torch.cat([over_prompt, query @ own_keys.transpose(2, 3)], -1)
        mask = self._shared.mask(self._weights.window, length, width, scores.dtype)
        if mask is not None:
            scores += mask
        weights = _softmax(scores)
        mixed = self._shared.times(weights[..., :length], self._values)
        mixed = mixed + weights[..., length:] @ own_values  # (key heads, rows, shared, d)
        return self._weights.mix_out(mixed.transpose(0, 1).reshape(rows, -1))

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only; the shared grouping has been renewed already."""
        self._own = [part[:, rows] for part in self._own]
        self._keys, self._values = (self._shared.of_chunks(part) for part in self._held)

    def _append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Own keys and values (key heads, rows, width, d) with one more token each.

        The width is the number of tokens made; at first it is more, because products with
        few columns are slow, and the rest is masked.
        """
        made, capacity = self._shared.made, self._own[0].shape[2]
        if made > capacity:
            self._own = [torch.cat([part, torch.zeros_like(part)], 2) for part in self._own]
        for part, new in zip(self._own, (key, value), strict=True):
            part[:, :, made - 1] = new.transpose(0, 1)
        width = max(made, _FIRST_CAPACITY)
        return self._own[0][:, :, :width], self._own[1][:, :, :width]


class _ConvCache:
    """The last inputs of one short convolution, for each row: newest first."""

    def __init__(self, weights: ConvWeights, inputs: Tensor, shared: _Shared) -> None:
        self._weights = weights
        prefix = shared.rows.prefix.to(inputs.device)
        length = shared.rows.length.to(inputs.device)
        self._last = []
        for back in range(1, len(weights.taps)):
            at = length - back
            self._last.append(inputs[0, prefix, at.clamp(min=0)] * (at >= 0)[:, None])

    def mix(self, normed: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(rows, hidden): the convolution at each row's new token, which becomes the last."""
        before, after, x = self._weights.mix_in(normed).chunk(3, -1)
        new = before * x
        mixed = new * self._weights.taps[0]
        for last, tap in zip(self._last, self._weights.taps[1:], strict=True):
            mixed = mixed + last * tap
        if self._weights.bias is not None:
            mixed = mixed + self._weights.bias
        self._last = [new, *self._last[:-1]] if self._last else []
        return self._weights.mix_out(after * mixed)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self._last = [last[rows] for last in self._last]


def _heads(
    network: Network, weights: AttentionWeights, normed: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (N, heads, d), scaled, keys and values (N, key heads, d), turned by position."""
    parts = weights.mix_in(normed).view(normed.shape[0], -1, network.head_dim)
    heads, turning = network.heads, network.heads + network.key_heads
    turned, value = parts[:, :turning], parts[:, turning:]
    if weights.norm is not None:
        turned = rms_norm(weights.norm, turned)
    turned = rotated(turned, cos, sin)
    if turned.dtype != value.dtype:
        turned = turned.to(value.dtype)
    return turned[:, :heads], turned[:, heads:], value


def _softmax(scores: Tensor) -> Tensor:
    """Over the last dimension, computed in fp32."""
    if scores.dtype == torch.float32:
        return torch.softmax(scores, -1)
    return torch.softmax(scores, -1, dtype=torch.float32).to(scores.dtype)


def _feed_forward(layer: LayerWeights, hidden: Tensor) -> Tensor:
    gate, up = layer.gate_up(layer.feed_norm(hidden)).chunk(2, -1)
    return hidden + layer.down(layer.activation(gate).mul_(up))

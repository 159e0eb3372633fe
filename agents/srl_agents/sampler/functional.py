"""Sampling with a ``FunctionalDecoder``'s network: shared prompts, own caches.

Each distinct prompt is computed once, from where an earlier prompt's cache ends, and its
keys are shared by its completions: the queries of a chunk of completions meet them in one
matrix product. Completions have caches of their own that grow as needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from srl_agents.decoder.families import Network
from srl_agents.decoder.functional import FunctionalDecoder, rms_norm, rotated
from srl_agents.decoder.layout import chunked
from srl_agents.sampler.engine import Engine, Session
from srl_agents.sampler.prefixes import Ids, Prefilled, Prefix, PrefixCache
from srl_agents.sampler.weights import (
    AttentionWeights,
    ConvWeights,
    LayerWeights,
    Weights,
    prepare,
)

_FINGERPRINT_ELEMENTS = 2048  # of each parameter, to notice that weights have changed
_FIRST_CAPACITY = 16  # tokens an own cache holds at first; it doubles when full


class FunctionalEngine(Engine):
    """The engine of models with a ``FunctionalDecoder``."""

    def __init__(self, decoder: FunctionalDecoder, cache_bytes: int) -> None:
        """cache_bytes: how much of earlier prompts' keys and values is kept for reuse."""
        self._decoder = decoder
        self._prefixes = PrefixCache(cache_bytes)
        self._fingerprint = torch.empty(0)

    def start(self, prompts: Sequence[Ids], copies: Sequence[int]) -> Session:
        """A session with ``copies[i]`` rows of each distinct prompt, in order."""
        self._forget_if_changed()
        network = self._decoder.network
        weights = prepare(network)
        prefill = _Prefill(network, weights, prompts, [self._prefixes.find(p) for p in prompts])
        prefilled, hidden = prefill.run(self._decoder.device)
        self._prefixes.add(prefilled)
        return FunctionalSession(network, weights, prefilled, hidden, copies)

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


class _Prefill:
    """The new tokens of P prompts through the network, over what is known of each."""

    def __init__(
        self,
        network: Network,
        weights: Weights,
        prompts: Sequence[Ids],
        known: Sequence[Prefix | None],
    ) -> None:
        self.network, self.weights = network, weights
        self.prompts, self.known = tuple(prompts), known
        self.start = [0 if prefix is None else prefix.length for prefix in known]
        self.length = max(map(len, prompts))

    def run(self, device: torch.device) -> tuple[Prefilled, Tensor]:
        """The computed prompts, and the hidden state of each one's last token (P, hidden)."""
        fresh = [p[s:] for p, s in zip(self.prompts, self.start, strict=True)]
        counts = torch.tensor([len(ids) for ids in fresh])
        ids = torch.tensor([token for row in fresh for token in row], device=device)
        row = torch.repeat_interleave(torch.arange(len(fresh)), counts)
        first = counts.cumsum(0) - counts
        offset = torch.arange(len(row)) - first[row]
        at = torch.tensor(self.start)[row] + offset
        self.row, self.at = row.to(device), at.to(device)
        self.width = int(counts.max())
        self.grid_cell = (row * self.width + offset).to(device)  # of each token in (P, width)
        grid = torch.zeros(len(fresh) * self.width, dtype=torch.long)
        grid[row * self.width + offset] = torch.arange(len(row))
        self.grid = grid.to(device)
        self.starts = torch.tensor(self.start, device=device)
        hidden = self.weights.embed(ids)
        cos, sin = self.network.rotary(hidden[None], self.at[None])
        self.angles = cos[0, :, None], sin[0, :, None]
        caches = []
        for index, layer in enumerate(self.weights.layers):
            mixed, cache = self._mix(index, layer, rms_norm(layer.mixer_norm, hidden))
            caches.append(cache)
            hidden = _feed_forward(layer, hidden + mixed)
        return Prefilled(self.prompts, tuple(caches)), hidden[(first + counts - 1).to(device)]

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
        rows = len(self.prompts)
        keys, values = (
            self._filled(index, which, fresh) for which, fresh in enumerate((key, value))
        )
        grid = query[self.grid].view(rows, self.width, *query.shape[1:]).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(
            grid,
            keys,
            values,
            attn_mask=self._mask(weights.window),
            is_causal=self._is_causal(weights.window),
            scale=1.0,
            enable_gqa=self.network.heads != self.network.key_heads,
        )
        flat = mixed.transpose(1, 2).reshape(rows * self.width, -1)[self.grid_cell]
        return weights.mix_out(flat), (keys, values)

    def _filled(self, index: int, which: int, fresh: Tensor) -> Tensor:
        """(P, key heads, L, d): known keys or values with the fresh ones (N, heads, d)."""
        rows, heads, dim = len(self.prompts), fresh.shape[1], fresh.shape[2]
        buffer = fresh.new_zeros(rows, heads, self.length, dim)
        self._copy_known(index, which, buffer, 2)
        buffer[self.row, :, self.at] = fresh
        return buffer

    def _copy_known(self, index: int, which: int, buffer: Tensor, token_dim: int) -> None:
        for source, here, there in self._sources():
            held = source.layers[index][which]
            width = min(held.shape[token_dim], self.length)
            part = held.narrow(token_dim, 0, width).index_select(0, there)
            buffer.narrow(token_dim, 0, width)[here] = part

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
        """(P, 1, width, L) bool, which keys each query sees; None for plain causal."""
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
        inputs = fresh.new_zeros(len(self.prompts), self.length, fresh.shape[1])
        self._copy_known(index, 0, inputs, 1)
        inputs[self.row, self.at] = fresh
        mixed = fresh * weights.taps[0]
        for back in range(1, len(weights.taps)):
            at = self.at - back
            earlier = inputs[self.row, at.clamp(min=0)] * (at >= 0)[:, None]
            mixed = mixed + earlier * weights.taps[back]
        if weights.bias is not None:
            mixed = mixed + weights.bias
        return weights.mix_out(after * mixed), (inputs,)


class FunctionalSession(Session):
    """Rows that share their prompts' caches and have their own for what they add."""

    def __init__(
        self,
        network: Network,
        weights: Weights,
        prefilled: Prefilled,
        hidden: Tensor,
        copies: Sequence[int],
    ) -> None:
        self._network, self._weights = network, weights
        device = hidden.device
        prompt_of = torch.repeat_interleave(torch.arange(len(copies)), torch.tensor(copies))
        lengths = torch.tensor([len(prompt) for prompt in prefilled.prompts])
        self._shared = _Shared(prompt_of, lengths, device)
        self._position = lengths[prompt_of].to(device)
        self._made = 0
        self._caches: list[_AttentionCache | _ConvCache] = [
            _ConvCache(layer.mixer, held[0], self._shared)
            if isinstance(layer.mixer, ConvWeights)
            else _AttentionCache(network, layer.mixer, held, self._shared)
            for layer, held in zip(weights.layers, prefilled.layers, strict=True)
        ]
        logits = weights.head(rms_norm(weights.norm, hidden)).float()
        self.logits = logits[prompt_of.to(device)]

    def step(self, tokens: Tensor) -> None:
        """Append one token to each row and make the next logits."""
        hidden = self._weights.embed(tokens)
        cos, sin = self._network.rotary(hidden[None], self._position[None])
        angles = cos[0, :, None], sin[0, :, None]
        for layer, cache in zip(self._weights.layers, self._caches, strict=True):
            normed = rms_norm(layer.mixer_norm, hidden)
            hidden = _feed_forward(layer, hidden + cache.mix(normed, *angles))
        self._position = self._position + 1
        self.logits = self._weights.head(rms_norm(self._weights.norm, hidden)).float()

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self._shared.keep(rows)
        on_device = rows.to(self._position.device)
        self._position = self._position[on_device]
        self.logits = self.logits[on_device]
        for cache in self._caches:
            cache.keep(on_device)


class _Shared:
    """Which rows share which prompt: chunks of rows, and masks of prompts' padding."""

    def __init__(self, prompt_of: Tensor, lengths: Tensor, device: torch.device) -> None:
        self.prompt_of, self.lengths, self.device = prompt_of, lengths, device
        self._regroup()

    def keep(self, rows: Tensor) -> None:
        self.prompt_of = self.prompt_of[rows]
        self._regroup()

    def _regroup(self) -> None:
        chunks = chunked(self.prompt_of, len(self.lengths), 1)
        rows = len(self.prompt_of)
        self.shape = (len(chunks.chunk_trunk), chunks.size)
        self.prompts = chunks.chunk_trunk.to(self.device)
        self.all_prompts = torch.equal(chunks.chunk_trunk, torch.arange(len(self.lengths)))
        self.slot_of: Tensor | None = None
        self.row_in: Tensor | None = None
        if not torch.equal(chunks.slot_of, torch.arange(rows)) or chunks.slots != rows:
            row_in = torch.zeros(chunks.slots, dtype=torch.long)
            row_in[chunks.slot_of] = torch.arange(rows)
            self.slot_of, self.row_in = chunks.slot_of.to(self.device), row_in.to(self.device)
        self.chunk_lengths = self.lengths[chunks.chunk_trunk].to(self.device)

    def to_slots(self, rows: Tensor) -> Tensor:
        """(R, C, …) of (rows, …); empty slots hold some row's values."""
        slots = rows if self.row_in is None else rows[self.row_in]
        return slots.view(*self.shape, *rows.shape[1:])

    def to_rows(self, slots: Tensor) -> Tensor:
        """(rows, …) of (R * C, …)."""
        return slots if self.slot_of is None else slots[self.slot_of]

    def prompt_mask(self, length: int, like: Tensor, newest: int | None) -> Tensor | None:
        """(R, 1, 1, length) additive over prompt keys; None where every key is seen.

        newest: with a window, the number of own tokens a query can still see beyond itself
        taken from the window, so that prompt keys before ``lengths - newest`` are out of it.
        """
        seen = torch.arange(length, device=self.device) < self.chunk_lengths[:, None]
        if newest is not None:
            at = torch.arange(length, device=self.device)
            seen = seen & (at > self.chunk_lengths[:, None] - newest)
        if bool(seen.all()):
            return None
        mask = torch.zeros(seen.shape, dtype=like.dtype, device=self.device)
        return mask.masked_fill_(~seen, torch.finfo(like.dtype).min)[:, None, None]


class _AttentionCache:
    """Keys and values of one layer: the prompts', shared, and each row's own."""

    def __init__(
        self,
        network: Network,
        weights: AttentionWeights,
        held: tuple[Tensor, ...],
        shared: _Shared,
    ) -> None:
        self._network, self._weights, self._shared = network, weights, shared
        self._held = held
        rows, (_, heads, _, dim) = len(shared.prompt_of), held[0].shape
        self._own = [part.new_empty(rows, heads, _FIRST_CAPACITY, dim) for part in held]
        self._made = 0
        self._regroup()

    def mix(self, normed: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(rows, hidden): attention of each row's new token, which is added to its cache."""
        query, key, value = _heads(self._network, self._weights, normed, cos, sin)
        own_keys, own_values = self._append(key, value)
        rows, key_heads, _, dim = own_keys.shape
        query = query.view(rows, key_heads, -1, dim)
        over_own = query @ own_keys.transpose(2, 3)  # (rows, key heads, shared, made)
        over_prompt = self._in_slots(query) @ self._keys.transpose(2, 3)
        mask = self._prompt_mask(over_prompt)
        if mask is not None:
            over_prompt = over_prompt + mask
        scores = torch.cat([over_prompt, self._in_slots(self._windowed(over_own))], -1)
        weights = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype)
        length = self._keys.shape[2]
        mixed = self._in_rows(weights[..., :length] @ self._values)
        mixed = mixed + self._in_rows(weights[..., length:]) @ own_values
        return self._weights.mix_out(mixed.reshape(rows, -1))

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only; the shared grouping has been renewed already."""
        self._own = [part[rows] for part in self._own]
        self._regroup()

    def _regroup(self) -> None:
        shared = self._shared
        keys, values = self._held
        self._keys = keys if shared.all_prompts else keys[shared.prompts]
        self._values = values if shared.all_prompts else values[shared.prompts]
        self._mask: Tensor | None = None
        self._mask_known = False

    def _append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Own keys and values (rows, key heads, made, d) with one more token each."""
        if self._made == self._own[0].shape[2]:
            self._own = [torch.cat([part, torch.empty_like(part)], 2) for part in self._own]
        for part, new in zip(self._own, (key, value), strict=True):
            part[:, :, self._made] = new
        self._made += 1
        return self._own[0][:, :, : self._made], self._own[1][:, :, : self._made]

    def _in_slots(self, rows: Tensor) -> Tensor:
        """(rows, key heads, shared, x) as (R, key heads, shared * C, x)."""
        return self._shared.to_slots(rows).permute(0, 2, 3, 1, 4).flatten(2, 3)

    def _in_rows(self, slots: Tensor) -> Tensor:
        """(R, key heads, shared * C, x) as (rows, key heads, shared, x)."""
        chunks, size = self._shared.shape
        parts = slots.view(chunks, slots.shape[1], -1, size, slots.shape[3])
        return self._shared.to_rows(parts.permute(0, 3, 1, 2, 4).flatten(0, 1))

    def _prompt_mask(self, over_prompt: Tensor) -> Tensor | None:
        window, length = self._weights.window, over_prompt.shape[-1]
        if window is not None:  # the query's position is lengths + made - 1
            return self._shared.prompt_mask(length, over_prompt, window - self._made + 1)
        if not self._mask_known:
            self._mask = self._shared.prompt_mask(length, over_prompt, None)
            self._mask_known = True
        return self._mask

    def _windowed(self, over_own: Tensor) -> Tensor:
        window = self._weights.window
        if window is None or self._made <= window:
            return over_own
        gone = self._made - window
        return over_own.index_fill(
            -1, torch.arange(gone, device=over_own.device), torch.finfo(over_own.dtype).min
        )


class _ConvCache:
    """The last inputs of one short convolution, for each row: newest first."""

    def __init__(self, weights: ConvWeights, inputs: Tensor, shared: _Shared) -> None:
        self._weights = weights
        prompt_of = shared.prompt_of.to(inputs.device)
        length = shared.lengths.to(inputs.device)
        every = torch.arange(len(inputs), device=inputs.device)
        self._last = []
        for back in range(1, len(weights.taps)):
            at = length - back
            last = inputs[every, at.clamp(min=0)] * (at >= 0)[:, None]
            self._last.append(last[prompt_of])

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
    parts = weights.mix_in(normed).view(len(normed), -1, network.head_dim)
    turned, value = torch.split(parts, [network.heads + network.key_heads, network.key_heads], 1)
    if weights.norm is not None:
        turned = rms_norm(weights.norm, turned)
    turned = rotated(turned, cos, sin).to(value.dtype)
    query, key = torch.split(turned, [network.heads, network.key_heads], 1)
    return query, key, value


def _feed_forward(layer: LayerWeights, hidden: Tensor) -> Tensor:
    gate, up = layer.gate_up(rms_norm(layer.feed_norm, hidden)).chunk(2, -1)
    return hidden + layer.down(layer.activation(gate) * up)

"""Log-probabilities of a tree of tokens, each prefix computed once.

Exact: a continuation's queries meet the prefix's keys before its start and its own keys in one
softmax, and a short convolution sees the prefix's last inputs before the start. Dropout in
attention is not done; it would make sampling and training disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from srl_agents.nn.families import read_network
from srl_agents.nn.layout import Layout, layout_of
from srl_agents.nn.network import Attention, additive, softcapped
from srl_agents.nn.score.decoder import Decoder, States
from srl_agents.nn.tree import TokenTree


class SharedPrefixDecoder(Decoder):
    """The decoder of the families in ``families.FAMILIES``."""

    shares_prefixes = True
    path = "shared prefixes, each computed once"

    def __init__(self, model: nn.Module) -> None:
        """model: a Hugging Face causal language model, or one in a peft wrapper."""
        super().__init__(model)
        self.network = read_network(model)

    def states(self, tree: TokenTree) -> States:
        """What predicts the requested tokens; see ``Decoder.states``."""
        layout = layout_of(tree).to(self.device)
        network = self.network
        hidden = network.embed(layout.ids)
        turns = network.turns(hidden, layout.positions)
        contexts = [_TreeContext(layout)] * len(network.layers)
        hidden = network.run(hidden, turns, contexts, self._recompute())
        predictors = network.norm(hidden.index_select(0, layout.predictor))
        return States(predictors, network.head, layout.target)

    def _recompute(self) -> bool:
        """Whether the model recomputes activations in the backward pass."""
        layer: Any = self.causal_lm.model.layers[0]
        return torch.is_grad_enabled() and bool(getattr(layer, "gradient_checkpointing", False))


class _TreeContext:
    """What the tokens of a layout see of each other."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._masks: dict[int | None, tuple[Tensor, Tensor, Tensor]] = {}

    def earlier(self, inputs: Tensor, count: int) -> Iterator[Tensor]:
        """The inputs of the tokens before each, nearest first; see ``ConvContext``."""
        previous = self.layout.previous
        shifted = F.pad(inputs, (0, 0, 0, 1))  # row -1 is zero: before the beginning
        index = previous
        for _ in range(count):
            yield shifted[index]
            index = torch.where(index < 0, index, previous[index])

    def attend(self, attention: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Prefixes see themselves, continuations their prefix and themselves."""
        split = self.layout.prefix_tokens
        masks = self._masks_for(attention.window, query)
        prefix_key, prefix_value = self._rows(key[:split]), self._rows(value[:split])
        mixed = attention.attended(self._rows(query[:split]), prefix_key, prefix_value, masks[0])
        mixed = mixed.transpose(1, 2).reshape(-1, query.shape[1] * query.shape[2])
        mixed = mixed[self.layout.from_prefix]
        if len(query) == split:
            return mixed
        query, key, value = query[split:] * attention.scale, key[split:], value[split:]
        cap = attention.softcap
        continued = self._continued(query, key, value, prefix_key, prefix_value, masks, cap)
        return torch.cat([mixed, continued])

    def _rows(self, flat: Tensor) -> Tensor:
        """Flat prefix tokens (prefix_tokens, heads, d) as (P, heads, L, d)."""
        rows, length = self.layout.prefix_shape
        return flat[self.layout.to_prefix].view(rows, length, *flat.shape[1:]).transpose(1, 2)

    def _continued(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        prefix_key: Tensor,
        prefix_value: Tensor,
        masks: tuple[Tensor, Tensor, Tensor],
        cap: float | None,
    ) -> Tensor:
        """(continuation tokens, heads * d), from one softmax over prefix keys and own keys."""
        chunks, slots, width = self.layout.slot_shape
        heads, dim = query.shape[1:]
        key_heads, length = prefix_key.shape[1:3]
        query, key, value = (part[self.layout.to_slots] for part in (query, key, value))
        # (R, key heads, shared, C, T, d): queries of one key head next to each other
        query = query.view(chunks, slots, width, key_heads, -1, dim).permute(0, 3, 4, 1, 2, 5)
        key, value = (
            part.view(chunks, slots, width, key_heads, dim).permute(0, 3, 1, 2, 4)
            for part in (key, value)
        )
        if not self.layout.chunks_are_prefixes:
            prefix_key = prefix_key[self.layout.chunk_prefix]
            prefix_value = prefix_value[self.layout.chunk_prefix]
        over_prefix = softcapped(query.flatten(2, 4) @ prefix_key.transpose(2, 3), cap)
        over_prefix = over_prefix.view(*query.shape[:-1], length) + masks[1]
        over_own = softcapped(query @ key.transpose(-1, -2)[:, :, None], cap) + masks[2]
        scores = torch.cat([over_prefix, over_own], -1)
        wide = torch.promote_types(scores.dtype, torch.float32)
        weights = torch.softmax(scores, -1, dtype=wide).to(value.dtype)
        mixed = weights[..., length:] @ value[:, :, None]
        from_prefix = weights[..., :length].flatten(2, 4) @ prefix_value
        mixed = mixed + from_prefix.view(mixed.shape)
        flat = mixed.permute(0, 3, 4, 1, 2, 5).reshape(-1, heads * dim)
        return flat[self.layout.from_slots]

    def _masks_for(self, window: int | None, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Additive masks: prefix to itself (L, L), continuation to prefix, and to itself (T, T).

        Continuation to prefix is (R, 1, 1, C, 1, L), or (R, 1, 1, C, T, L) under a window.
        """
        if window not in self._masks:
            self._masks[window] = self._make_masks(window, like)
        return self._masks[window]

    def _make_masks(self, window: int | None, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        layout = self.layout
        length, width = layout.prefix_shape[1], layout.slot_shape[2]
        at = torch.arange(max(length, width), device=like.device)
        back = at[:, None] - at  # (M, M) how far back the key lies
        seen = back >= 0 if window is None else (back >= 0) & (back < window)
        prefix_seen = (at[:length] < layout.slot_start[:, :, None])[:, None, None, :, None]
        if window is not None:
            query_at = layout.slot_start[:, :, None] + at[:width]  # (R, C, T)
            near = query_at[..., None] - at[:length] < window  # (R, C, T, L)
            prefix_seen = prefix_seen & near[:, None, None]
        return (
            additive(seen[:length, :length], like),
            additive(prefix_seen, like),
            additive(seen[:width, :width], like),
        )

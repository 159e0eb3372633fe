"""Log-probabilities of a tree of tokens, each prefix computed once.

The network is written out as functions of the Hugging Face model's own submodules, so that
gradients, adapters and checkpoints stay the model's. Exact: a continuation's queries meet the
prefix's keys before its start and its own keys in one softmax, and a short convolution sees
the prefix's last inputs before the start. Left out: dropout in attention, which makes
sampling and training disagree anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from srl_agents.nn.layers import angles, rms_norm, rotated
from srl_agents.nn.layout import Layout, layout_of
from srl_agents.nn.network import Attention, Layer, Network, RMSNorm, ShortConv, read_network
from srl_agents.nn.score.decoder import Decoder, TokenScores, scores_of, token_statistics
from srl_agents.nn.tree import TokenTree


class SharedPrefixDecoder(Decoder):
    """The decoder of the families in ``families.FAMILIES``."""

    shares_prefixes = True

    def __init__(self, model: nn.Module) -> None:
        """model: a Hugging Face causal language model, or one in a peft wrapper."""
        super().__init__(model)
        self.network = read_network(model)
        inner: Any = self.causal_lm.model
        self._first_layer = inner.layers[0]

    def score(self, tree: TokenTree, temperature: float = 1.0) -> TokenScores:
        """Scores of the tokens the tree asks for; see ``Decoder.score``."""
        layout = layout_of(tree).to(self.device)
        hidden = self.hidden_states(layout)
        head = self.network.head
        log_probs, entropy = token_statistics(
            hidden.index_select(0, layout.predictor), head, layout.target, temperature
        )
        return scores_of(tree, log_probs, entropy)

    def hidden_states(self, layout: Layout) -> Tensor:
        """Final normed hidden states of the flat tokens, (N, hidden)."""
        network = self.network
        hidden = network.embed(layout.ids)
        step = _Step(layout, network, *angles(network.rotary, hidden, layout.positions))
        recompute = torch.is_grad_enabled() and self._checkpointing()
        for layer in network.layers:
            if recompute:
                hidden = checkpoint(step.layer, layer, hidden, use_reentrant=False)
            else:
                hidden = step.layer(layer, hidden)
        return rms_norm(network.norm, hidden)

    def _checkpointing(self) -> bool:
        """Whether the model was told to recompute activations in the backward pass."""
        return bool(getattr(self._first_layer, "gradient_checkpointing", False))


class _Step:
    """One pass over a layout: what every layer needs besides its own weights."""

    def __init__(self, layout: Layout, network: Network, cos: Tensor, sin: Tensor) -> None:
        self.layout, self.network = layout, network
        self.heads, self.key_heads = network.heads, network.key_heads
        self.cos, self.sin = cos, sin  # (N, 1, d)
        self._masks: dict[int | None, tuple[Tensor, Tensor, Tensor]] = {}

    def layer(self, layer: Layer, hidden: Tensor) -> Tensor:
        """(N, hidden) after one more layer."""
        normed = rms_norm(layer.mixer_norm, hidden)
        if isinstance(layer.mixer, Attention):
            hidden = hidden + self.attention(layer.mixer, normed)
        else:
            hidden = hidden + self.short_conv(layer.mixer, normed)
        normed = rms_norm(layer.feed_norm, hidden)
        gated: Tensor = layer.activation(layer.gate(normed)) * layer.up(normed)
        down: Tensor = layer.down(gated)
        return hidden + down

    def short_conv(self, conv: ShortConv, hidden: Tensor) -> Tensor:
        """(N, hidden): each token's convolution over itself and the tokens before it."""
        before, after, x = conv.into(hidden).chunk(3, -1)
        inputs = before * x
        taps = conv.conv.weight[:, 0].to(inputs.dtype)  # (hidden, K), the last is the token's own
        mixed = inputs * taps[:, -1]
        shifted = F.pad(inputs, (0, 0, 0, 1))  # row -1 is zero: before the beginning
        index = self.layout.previous
        for back in range(2, taps.shape[1] + 1):
            mixed = mixed + shifted[index] * taps[:, -back]
            index = torch.where(index < 0, index, self.layout.previous[index])
        if conv.conv.bias is not None:
            mixed = mixed + conv.conv.bias
        out: Tensor = conv.out(after * mixed)
        return out

    def attention(self, attention: Attention, hidden: Tensor) -> Tensor:
        """(N, hidden): prefixes see themselves, continuations their prefix and themselves."""
        query = self._heads(attention.query(hidden), attention.query_norm)
        key = self._heads(attention.key(hidden), attention.key_norm)
        query, key = rotated(query, self.cos, self.sin), rotated(key, self.cos, self.sin)
        value = self._heads(attention.value(hidden), None)
        split = self.layout.prefix_tokens
        masks = self._masks_for(attention.window, query)
        prefix_key, prefix_value = self._rows(key[:split]), self._rows(value[:split])
        mixed = self._prefix_mix(query[:split], prefix_key, prefix_value, masks[0])
        if len(query) > split:
            continuation = (query[split:], key[split:], value[split:])
            mixed = torch.cat(
                [mixed, self._continuation_mix(continuation, prefix_key, prefix_value, masks)]
            )
        out: Tensor = attention.out(mixed)
        return out

    def _heads(self, projected: Tensor, norm: RMSNorm | None) -> Tensor:
        """(N, heads * d) as (N, heads, d), normed where the family does."""
        split = projected.view(len(projected), -1, self.network.head_dim)
        return split if norm is None else rms_norm(norm, split)

    def _rows(self, flat: Tensor) -> Tensor:
        """Flat prefix tokens (prefix_tokens, heads, d) as (P, heads, L, d)."""
        rows, length = self.layout.prefix_shape
        return flat[self.layout.to_prefix].view(rows, length, *flat.shape[1:]).transpose(1, 2)

    def _prefix_mix(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        mixed = F.scaled_dot_product_attention(
            self._rows(query), key, value, attn_mask=mask, enable_gqa=self.heads != self.key_heads
        )
        flat = mixed.transpose(1, 2).reshape(-1, self.heads * mixed.shape[-1])
        return flat[self.layout.from_prefix]

    def _continuation_mix(
        self,
        continuation: Sequence[Tensor],
        prefix_key: Tensor,
        prefix_value: Tensor,
        masks: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        """(continuation tokens, heads * d), from one softmax over prefix keys and own keys."""
        chunks, slots, width = self.layout.slot_shape
        length, dim = prefix_key.shape[2], prefix_key.shape[3]
        shared = self.heads // self.key_heads
        query, key, value = (part[self.layout.to_slots] for part in continuation)
        # (R, key heads, shared, C, T, d): queries of one key head next to each other
        query = query.view(chunks, slots, width, self.key_heads, shared, dim)
        query = query.permute(0, 3, 4, 1, 2, 5) * dim**-0.5
        key = key.view(chunks, slots, width, self.key_heads, dim).permute(0, 3, 1, 2, 4)
        value = value.view(chunks, slots, width, self.key_heads, dim).permute(0, 3, 1, 2, 4)
        if not self.layout.chunks_are_prefixes:
            prefix_key = prefix_key[self.layout.chunk_prefix]
            prefix_value = prefix_value[self.layout.chunk_prefix]
        over_prefix = query.flatten(2, 4) @ prefix_key.transpose(2, 3)
        over_prefix = over_prefix.view(*query.shape[:-1], length) + masks[1]
        over_own = query @ key.transpose(-1, -2)[:, :, None] + masks[2]
        scores = torch.cat([over_prefix, over_own], -1)
        weights = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype)
        mixed = weights[..., length:] @ value[:, :, None]
        from_prefix = weights[..., :length].flatten(2, 4) @ prefix_value
        mixed = mixed + from_prefix.view(mixed.shape)
        flat = mixed.permute(0, 3, 4, 1, 2, 5).reshape(-1, self.heads * dim)
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
            _additive(seen[:length, :length], like),
            _additive(prefix_seen, like),
            _additive(seen[:width, :width], like),
        )


def _additive(seen: Tensor, like: Tensor) -> Tensor:
    mask = torch.zeros(seen.shape, dtype=like.dtype, device=like.device)
    return mask.masked_fill_(~seen, torch.finfo(like.dtype).min)

"""A decoder as layers over flat tokens, the same for scoring (training) and for sampling.

The families are one pre-norm decoder with small differences: biases, norms on queries and keys or
after a block, sliding windows, layers without positions, soft caps, multipliers, and short
convolutions instead of attention. Every token is one row, without padding. How a token sees
earlier ones is the business of a *context*: ``nn.score`` and ``nn.sample`` have their own, and
share everything else in this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from srl_agents.nn.head import Head
from srl_agents.nn.linear import Linear, Map, joined, linear

Turn = tuple[Tensor, Tensor]
"""Cosines and sines of the tokens' positions, (N, 1, d) each, as ``rotated`` takes them."""

Turns = Mapping[str | None, Turn]
"""The turn of each kind of layer, by ``Layer.rotary``; layers without positions have none."""

_FUSE_BELOW = 50_000_000  # parameters; for larger models the copies cost more than they save


class AttentionContext(Protocol):
    """How queries see keys."""

    def attend(self, attention: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(N, heads * d) from queries (N, heads, d), keys and values (N, key heads, d)."""
        ...


class ConvContext(Protocol):
    """How a convolution sees earlier tokens."""

    def earlier(self, inputs: Tensor, count: int) -> Iterable[Tensor]:
        """The inputs (N, hidden) of the token before each, of the one before that, … ``count``.

        They are 0 before the beginning.
        """
        ...


@dataclass(frozen=True, slots=True)
class RMSNorm:
    """A root-mean-square norm: its weight (d,), or (heads, d), and its epsilon.

    around_one: the factor is 1 + weight, applied in fp32, as in Gemma.
    """

    weight: Tensor
    eps: float
    around_one: bool = False

    @property
    def factor(self) -> Tensor:
        """What a normed token is multiplied by."""
        return 1.0 + self.weight if self.around_one else self.weight

    def __call__(self, hidden: Tensor) -> Tensor:
        """hidden (..., d) over its root mean square, computed in fp32, times the factor."""
        if hidden.dtype == torch.float32 and self.weight.dtype == torch.float32:
            out: Tensor = _RMSNorm.apply(hidden, self.factor, self.eps)  # type: ignore[no-untyped-call]
            return out
        wide = hidden.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        if self.around_one:
            return (wide * (1.0 + self.weight.float())).to(hidden.dtype)
        return self.weight * wide.to(hidden.dtype)

    def folded(self) -> _UnitNorm:
        """The norm of which the maps after it take over the weight."""
        size = len(self.weight)
        floor = self.weight.new_tensor(size * self.eps).sqrt()
        return _UnitNorm(self.factor * size**0.5, self.eps, floor=floor)


@dataclass(frozen=True, slots=True)
class _UnitNorm(RMSNorm):
    """A norm without its weight and the factor sqrt(d); both together are ``weight``.

    x / sqrt(mean(x²) + eps) = sqrt(d) * x / hypot(|x|, sqrt(d * eps)), in a third of the time.
    """

    floor: Tensor = field(kw_only=True)

    def __call__(self, hidden: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        return hidden / torch.hypot(length, self.floor)


class _RMSNorm(torch.autograd.Function):
    """The norm in fp32 with half the passes over memory that autograd makes of its parts."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
        floor = torch.full((), (eps * hidden.shape[-1]) ** 0.5, device=hidden.device)
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        scale: Tensor = hidden.shape[-1] ** 0.5 / torch.hypot(length, floor)  # 1 / rms
        normed = hidden * scale
        ctx.save_for_backward(normed, scale, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        normed, scale, weight = ctx.saved_tensors
        (grad,) = grads
        along = grad * normed
        mean = (along @ weight)[..., None] / weight.shape[0]  # (..., 1), of d(out) * out
        to_hidden = torch.addcmul(grad * weight, normed, mean, value=-1).mul_(scale)
        to_weight = along.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return to_hidden, to_weight, None


def angles(rotary: Any, kind: str, hidden: Tensor, positions: Tensor) -> Turn:
    """The turn of positions (N,).

    rotary: the model's own module, which knows its frequencies. kind: of layer, if frequencies
    depend on it, or "". hidden: for dtype and device.
    """
    cos, sin = rotary(hidden[None], positions[None], *([kind] if kind else []))
    first, second = sin[0].chunk(2, -1)
    return cos[0, :, None], torch.cat([-first, second], -1)[:, None]


def rotated(x: Tensor, turn: Turn) -> Tensor:
    """x (N, heads, d) turned by its position's angles, in its first numbers if they are fewer."""
    cos, sin = turn
    if cos.shape[-1] < x.shape[-1]:
        first, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
        return torch.cat([rotated(first, turn), rest], -1)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def softcapped(scores: Tensor, cap: float | None) -> Tensor:
    """Scores within (-cap, cap); as they are if there is no cap."""
    return scores if cap is None else torch.tanh(scores / cap) * cap


def additive(seen: Tensor, like: Tensor) -> Tensor:
    """0 where a key is seen, the lowest number where not, in the dtype and place of ``like``."""
    mask = torch.zeros(seen.shape, dtype=like.dtype, device=like.device)
    return mask.masked_fill_(~seen, torch.finfo(like.dtype).min)


@dataclass(frozen=True, slots=True)
class Attention:
    """Grouped-query attention with rotary positions.

    into: maps to queries, keys and values, or one that gives all three next to each other.
    norms: of each head of queries and of keys, or one for both; () for none. scale: of the
    products of queries and keys. window: how many tokens back, itself included, one sees.
    softcap: of the scaled products.
    """

    into: tuple[Map, ...]
    out: Map
    norms: tuple[RMSNorm, ...]
    heads: int
    key_heads: int
    head_dim: int
    scale: float
    window: int | None
    softcap: float | None = None

    def __call__(self, x: Tensor, turn: Turn | None, context: AttentionContext) -> Tensor:
        """(N, hidden) of normed tokens x (N, hidden)."""
        parts = [m(x).view(len(x), -1, self.head_dim) for m in self.into]
        if len(parts) == 1:
            turning = self.heads + self.key_heads
            joint, value = parts[0][:, :turning], parts[0][:, turning:]
            turned = self._turned([joint], turn, value.dtype)[0]
            query, key = turned[:, : self.heads], turned[:, self.heads :]
        else:
            value = parts[2]
            query, key = self._turned(parts[:2], turn, value.dtype)
        return self.out(context.attend(self, query, key, value))

    def attended(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None) -> Tensor:
        """(rows, heads, T, d) of queries (rows, heads, T, d) over (rows, key heads, L, d).

        seen: a mask as ``scaled_dot_product_attention`` takes it; None for causal.
        """
        shared = self.heads != self.key_heads
        if self.softcap is None:
            return F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=seen,
                is_causal=seen is None,
                scale=self.scale,
                enable_gqa=shared,
            )
        if shared:
            key, value = (
                p.repeat_interleave(self.heads // self.key_heads, 1) for p in (key, value)
            )
        scores = softcapped(query @ key.transpose(-1, -2) * self.scale, self.softcap)
        if seen is None:
            seen = torch.ones_like(scores[0, 0], dtype=torch.bool).tril()
        if seen.dtype == torch.bool:
            seen = additive(seen, scores)
        weights = torch.softmax(scores + seen, -1, dtype=torch.float32).to(value.dtype)
        return weights @ value

    def _turned(
        self, parts: Sequence[Tensor], turn: Turn | None, dtype: torch.dtype
    ) -> list[Tensor]:
        if self.norms:
            parts = [norm(part) for norm, part in zip(self.norms, parts, strict=True)]
        if turn is not None:
            parts = [rotated(part, turn) for part in parts]
        return [part.to(dtype) for part in parts]

    def fused(self, norm: RMSNorm) -> Attention:
        """The same in two products, which take over the weight of the norm before them."""
        maps, (out,) = _linears(*self.into), _linears(self.out)
        norms, scale = self.norms, 1.0
        if self.norms:
            of_query, of_key = self.norms
            weights = (
                (of_query.factor * self.scale).expand(self.heads, -1),
                of_key.factor.expand(self.key_heads, -1),
            )
            norms = (RMSNorm(torch.cat(weights), of_query.eps),)
        elif len(maps) == 1:
            scale = self.scale
        else:
            maps[0] = maps[0].scaled(self.scale)
        into = joined(maps).after(norm.weight)
        return replace(self, into=(into.product(),), out=out.product(), norms=norms, scale=scale)


@dataclass(frozen=True, slots=True)
class ShortConv:
    """LFM2's gated short convolution: B, C, x = into(x); out(C * conv(B * x))."""

    into: tuple[Map]
    out: Map
    conv: nn.Conv1d

    def __call__(self, x: Tensor, turn: Turn | None, context: ConvContext) -> Tensor:
        """(N, hidden) of normed tokens x (N, hidden)."""
        before, after, x = self.into[0](x).chunk(3, -1)
        inputs = before * x
        own, *taps = self.conv.weight[:, 0].to(inputs.dtype).flip(1).t().contiguous()  # (hidden,)
        mixed = inputs * own
        for tap, earlier in zip(taps, context.earlier(inputs, len(taps)), strict=True):
            mixed = mixed + earlier * tap
        if self.conv.bias is not None:
            mixed = mixed + self.conv.bias
        return self.out(after * mixed)

    def fused(self, norm: RMSNorm) -> ShortConv:
        """The same with maps that take over the weight of the norm before them."""
        into, out = _linears(*self.into, self.out)
        return replace(self, into=(into.after(norm.weight).product(),), out=out.product())


@dataclass(frozen=True, slots=True)
class Layer:
    """h += mixer(norm(h)); h += down(act(gate(norm(h))) * up(norm(h))).

    gate_up: the maps ``gate`` and ``up``, or one that gives both next to each other.
    mixer_after, feed_after: norms of what is added. residual: a factor of what is added.
    rotary: the kind of positions, "" if all layers have the same; None for none.
    """

    mixer_norm: RMSNorm
    mixer: Attention | ShortConv
    feed_norm: RMSNorm
    gate_up: tuple[Map, ...]
    down: Map
    activation: Map
    mixer_after: RMSNorm | None = None
    feed_after: RMSNorm | None = None
    residual: float = 1.0
    rotary: str | None = ""

    def __call__(self, hidden: Tensor, turn: Turn | None, context: Any) -> Tensor:
        """(N, hidden) after the layer; context: what the mixer asks for."""
        mixed = self.mixer(self.mixer_norm(hidden), turn, context)
        hidden = self._sum(hidden, mixed, self.mixer_after)
        normed = self.feed_norm(hidden)
        parts = [m(normed) for m in self.gate_up]
        gate, up = parts if len(parts) == 2 else parts[0].chunk(2, -1)
        gated = self.activation(gate)
        gated = gated * up if gated.requires_grad else gated.mul_(up)
        return self._sum(hidden, self.down(gated), self.feed_after)

    def _sum(self, hidden: Tensor, added: Tensor, norm: RMSNorm | None) -> Tensor:
        if norm is not None:
            added = norm(added)
        return hidden + (added if self.residual == 1.0 else added * self.residual)

    @property
    def maps(self) -> tuple[Map, ...]:
        """Everything in it that may be a linear map."""
        return (*self.mixer.into, self.mixer.out, *self.gate_up, self.down)

    def fused(self) -> Layer:
        """The same in fewer products, norm weights and scales included; maps must be linear."""
        mixer_norm, feed_norm = self.mixer_norm.folded(), self.feed_norm.folded()
        *gate_up, down = _linears(*self.gate_up, self.down)
        return replace(
            self,
            mixer_norm=mixer_norm,
            mixer=self.mixer.fused(mixer_norm),
            feed_norm=feed_norm,
            gate_up=(joined(gate_up).after(feed_norm.weight).product(),),
            down=down.product(),
        )


@dataclass(frozen=True, slots=True)
class Network:
    """A decoder as its parts; ``head.logits(norm(run(embed(ids), ...)))`` are the logits.

    rotary: the model's own module for positions.
    """

    embed: Map
    layers: tuple[Layer, ...]
    norm: RMSNorm
    head: Head
    rotary: Any

    def turns(self, hidden: Tensor, positions: Tensor) -> Turns:
        """The turns of positions (N,); hidden: for dtype and device."""
        kinds = {layer.rotary for layer in self.layers}
        return {
            kind: angles(self.rotary, kind, hidden, positions) for kind in kinds if kind is not None
        }

    def run(
        self, hidden: Tensor, turns: Turns, contexts: Iterable[Any], recompute: bool = False
    ) -> Tensor:
        """Hidden states (N, hidden) after all layers, before the last norm.

        turns: of the tokens' positions. contexts: one for each layer. recompute: activations in
        the backward pass instead of keeping them.
        """
        for layer, context in zip(self.layers, contexts, strict=True):
            turn = turns.get(layer.rotary)
            if recompute:
                hidden = checkpoint(layer, hidden, turn, context, use_reentrant=False)
            else:
                hidden = layer(hidden, turn, context)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, V) in fp32 of hidden states (N, hidden)."""
        return self.head.logits(self.norm(hidden))

    def fused(self) -> Network:
        """The network for sampling, with the weights as they are now.

        In small models queries, keys and values become one matrix, gate and up another.
        Adapters are added, norm weights folded into what follows them, and the attention scale
        into the queries. The network itself if it is large, or has maps that are not linear.
        """
        if not self._worth_fusing():
            return self
        layers = tuple(layer.fused() for layer in self.layers)
        head = linear(self.head.map)
        if head is None:
            return replace(self, layers=layers)
        norm = self.norm.folded()
        product = head.after(norm.weight).product()
        return replace(self, layers=layers, norm=norm, head=replace(self.head, map=product))

    def _worth_fusing(self) -> bool:
        modules: list[Any] = [each for layer in self.layers for each in layer.maps]
        parameters = [p for module in modules for p in module.parameters()]
        return (
            sum(p.numel() for p in parameters) < _FUSE_BELOW
            and all(p.dtype == torch.float32 for p in parameters)
            and all(linear(module) is not None for module in modules)
        )


def _linears(*maps: Map) -> list[Linear]:
    found = [linear(m) for m in maps]
    assert all(each is not None for each in found), "only linear maps are fused"
    return [each for each in found if each is not None]

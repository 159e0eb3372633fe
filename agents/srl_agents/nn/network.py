"""A decoder as layers over flat tokens, the same for scoring (training) and for sampling.

Llama, Mistral, Qwen2, Qwen3 and LFM2 are one pre-norm decoder with small differences: biases,
norms on queries and keys, sliding windows, short convolutions instead of attention. Every token
is one row, without padding. How a token sees earlier ones is the business of a *context*:
``nn.score`` and ``nn.sample`` have their own, and share everything else in this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from srl_agents.nn.linear import Linear, Map, joined, linear

Turn = tuple[Tensor, Tensor]
"""Cosines and sines of the tokens' positions, (N, 1, d) each, as ``rotated`` takes them."""

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
    """A root-mean-square norm: its weight (d,), or (heads, d), and its epsilon."""

    weight: Tensor
    eps: float

    def __call__(self, hidden: Tensor) -> Tensor:
        """hidden (..., d) over its root mean square, computed in fp32, times the weight."""
        if hidden.dtype == torch.float32 and self.weight.dtype == torch.float32:
            out: Tensor = _RMSNorm.apply(hidden, self.weight, self.eps)  # type: ignore[no-untyped-call]
            return out
        wide = hidden.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(hidden.dtype)

    def folded(self) -> _UnitNorm:
        """The norm of which the maps after it take over the weight."""
        size = len(self.weight)
        floor = self.weight.new_tensor(size * self.eps).sqrt()
        return _UnitNorm(self.weight * size**0.5, self.eps, floor)


@dataclass(frozen=True, slots=True)
class _UnitNorm(RMSNorm):
    """A norm without its weight and the factor sqrt(d); both together are ``weight``.

    x / sqrt(mean(x²) + eps) = sqrt(d) * x / hypot(|x|, sqrt(d * eps)), in a third of the time.
    """

    floor: Tensor

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


def angles(rotary: Any, hidden: Tensor, positions: Tensor) -> Turn:
    """The turn of positions (N,).

    rotary: the model's own module, which knows its frequencies. hidden: for dtype and device.
    """
    cos, sin = rotary(hidden[None], positions[None])
    first, second = sin[0].chunk(2, -1)
    return cos[0, :, None], torch.cat([-first, second], -1)[:, None]


def rotated(x: Tensor, turn: Turn) -> Tensor:
    """x (N, heads, d) turned by its position's angles."""
    cos, sin = turn
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


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
    """

    into: tuple[Map, ...]
    out: Map
    norms: tuple[RMSNorm, ...]
    heads: int
    key_heads: int
    head_dim: int
    scale: float
    window: int | None

    def __call__(self, x: Tensor, turn: Turn, context: AttentionContext) -> Tensor:
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

    def _turned(self, parts: Sequence[Tensor], turn: Turn, dtype: torch.dtype) -> list[Tensor]:
        if self.norms:
            parts = [norm(part) for norm, part in zip(self.norms, parts, strict=True)]
        return [rotated(part, turn).to(dtype) for part in parts]

    def fused(self, norm: RMSNorm) -> Attention:
        """The same in two products, which take over the weight of the norm before them."""
        query, key, value = _linears(*self.into)
        norms: tuple[RMSNorm, ...] = ()
        if self.norms:
            of_query, of_key = self.norms
            weights = (
                (of_query.weight * self.scale).expand(self.heads, -1),
                of_key.weight.expand(self.key_heads, -1),
            )
            norms = (RMSNorm(torch.cat(weights), of_query.eps),)
        else:
            query = query.scaled(self.scale)
        into, (out,) = joined([query, key, value]).after(norm.weight), _linears(self.out)
        return replace(self, into=(into.product(),), out=out.product(), norms=norms, scale=1.0)


@dataclass(frozen=True, slots=True)
class ShortConv:
    """LFM2's gated short convolution: B, C, x = into(x); out(C * conv(B * x))."""

    into: tuple[Map]
    out: Map
    conv: nn.Conv1d

    def __call__(self, x: Tensor, turn: Turn, context: ConvContext) -> Tensor:
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
    """

    mixer_norm: RMSNorm
    mixer: Attention | ShortConv
    feed_norm: RMSNorm
    gate_up: tuple[Map, ...]
    down: Map
    activation: Map

    def __call__(self, hidden: Tensor, turn: Turn, context: Any) -> Tensor:
        """(N, hidden) after the layer; context: what the mixer asks for."""
        hidden = hidden + self.mixer(self.mixer_norm(hidden), turn, context)
        normed = self.feed_norm(hidden)
        parts = [m(normed) for m in self.gate_up]
        gate, up = parts if len(parts) == 2 else parts[0].chunk(2, -1)
        gated = self.activation(gate)
        gated = gated * up if gated.requires_grad else gated.mul_(up)
        return hidden + self.down(gated)

    @property
    def maps(self) -> tuple[Map, ...]:
        """Everything in it that may be a linear map."""
        return (*self.mixer.into, self.mixer.out, *self.gate_up, self.down)

    def fused(self) -> Layer:
        """The same in fewer products, norm weights and scales included; maps must be linear."""
        mixer_norm, feed_norm = self.mixer_norm.folded(), self.feed_norm.folded()
        *gate_up, down = _linears(*self.gate_up, self.down)
        return Layer(
            mixer_norm=mixer_norm,
            mixer=self.mixer.fused(mixer_norm),
            feed_norm=feed_norm,
            gate_up=(joined(gate_up).after(feed_norm.weight).product(),),
            down=down.product(),
            activation=self.activation,
        )


@dataclass(frozen=True, slots=True)
class Network:
    """A decoder as its parts; ``head(norm(run(embed(ids), ...)))`` are the logits.

    rotary: the model's own module for positions.
    """

    embed: Map
    layers: tuple[Layer, ...]
    norm: RMSNorm
    head: Map
    rotary: Any

    def run(
        self, hidden: Tensor, turn: Turn, contexts: Iterable[Any], recompute: bool = False
    ) -> Tensor:
        """Hidden states (N, hidden) after all layers, before the last norm.

        turn: of the tokens' positions. contexts: one for each layer. recompute: activations in
        the backward pass instead of keeping them.
        """
        for layer, context in zip(self.layers, contexts, strict=True):
            if recompute:
                hidden = checkpoint(layer, hidden, turn, context, use_reentrant=False)
            else:
                hidden = layer(hidden, turn, context)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, V) in fp32 of hidden states (N, hidden)."""
        return self.head(self.norm(hidden)).float()

    def fused(self) -> Network:
        """The network for sampling, with the weights as they are now.

        In small models queries, keys and values become one matrix, gate and up another.
        Adapters are added, norm weights folded into what follows them, and the attention scale
        into the queries. The network itself if it is large, or has maps that are not linear.
        """
        if not self._worth_fusing():
            return self
        layers = tuple(layer.fused() for layer in self.layers)
        head = linear(self.head)
        if head is None:
            return replace(self, layers=layers)
        norm = self.norm.folded()
        return replace(self, layers=layers, norm=norm, head=head.after(norm.weight).product())

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

"""The same scores from a model's own forward pass, for any architecture.

Each continuation becomes a row that repeats its prefix: correct for every causal language model,
and slower if many continuations share a prefix.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from srl_agents.nn.score.decoder import Decoder, States
from srl_agents.nn.tree import TokenTree


class PlainDecoder(Decoder):
    """A decoder over ``model(input_ids, attention_mask, position_ids)``."""

    def __init__(self, model: nn.Module) -> None:
        """model: a Hugging Face causal language model, or one in a peft wrapper."""
        super().__init__(model)
        accepted = inspect.signature(self.causal_lm.forward).parameters
        self._keeps_some = "logits_to_keep" in accepted

    def states(self, tree: TokenTree) -> States:
        """The logits of the requested tokens; the head is the identity."""
        parts = []
        if bool(tree.scored_prefix.any()):
            positions, _ = tree.all_positions()
            parts.append(
                self._rows(tree.prefix_ids, tree.real_prefix, positions, tree.scored_prefix)
            )
        if bool(tree.scored_continuation.any()):
            parts.append(self._rows(*_unshared(tree)))
        if not parts:
            nothing = torch.zeros(0, 1, device=self.device)
            return States(nothing, nn.Identity(), nothing[:, 0].long())
        logits, target = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
        return States(logits, nn.Identity(), target)

    def _rows(
        self, ids: Tensor, real: Tensor, positions: Tensor, scored: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits (S, V) and ids (S,) of the scored tokens of rows (N, M)."""
        device = self.device
        target = ids[scored].to(device)
        first = int(scored.any(0).nonzero()[0]) if self._keeps_some else 1
        kept = {"logits_to_keep": ids.shape[1] - first + 1} if self._keeps_some else {}
        with _recomputing(self.model):
            logits = self.model(
                input_ids=ids.to(device),
                attention_mask=real.long().to(device),
                position_ids=positions.to(device),
                use_cache=False,
                **kept,
            ).logits  # (N, M - first + 1, V), from the column before the first that is scored
        return logits[:, :-1][scored[:, first:].to(device)], target


@contextmanager
def _recomputing(model: nn.Module) -> Iterator[None]:
    """Lets layers with gradient checkpointing use it, which they do only in training mode.

    Their submodules stay in evaluation mode: dropout would make sampling and training disagree.
    """
    layers: list[Any] = []
    if torch.is_grad_enabled() and not model.training:
        layers = [m for m in model.modules() if getattr(m, "gradient_checkpointing", False)]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def _unshared(tree: TokenTree) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows prefix[:start] + continuation: ids, real, positions, scored tokens, each (B, M)."""
    length, width = tree.prefix_ids.shape[1], tree.continuation_ids.shape[1]
    at = torch.arange(int((tree.continuation_start + tree.continuation_lengths).max()))
    start = tree.continuation_start[:, None]
    own = at - start  # (B, M), negative in the prefix's part
    from_prefix = at.clamp(max=length - 1).expand(len(start), -1)
    from_continuation = own.clamp(0, max(0, width - 1))
    prefix_positions, continuation_positions = tree.all_positions()

    def row(prefix: Tensor, continuation: Tensor) -> Tensor:
        of_prefix = prefix[tree.continuation_prefix].gather(1, from_prefix)
        return torch.where(own < 0, of_prefix, continuation.gather(1, from_continuation))

    real = own < tree.continuation_lengths[:, None]
    scored = (own >= 0) & real & tree.scored_continuation.gather(1, from_continuation)
    ids = row(tree.prefix_ids, tree.continuation_ids)
    return ids, real, row(prefix_positions, continuation_positions), scored

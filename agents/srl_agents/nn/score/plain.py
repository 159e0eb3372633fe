"""The same scores from a model's own forward pass, for any architecture.

Each continuation becomes a row that repeats its prefix: correct for every causal language model,
and slower if many continuations share a prefix.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from srl_agents.nn import head as output
from srl_agents.nn.families import read_head
from srl_agents.nn.head import Head
from srl_agents.nn.score.decoder import Decoder, States
from srl_agents.nn.tree import TokenTree
from srl_agents.parallel.sharding import is_sharded


class PlainDecoder(Decoder):
    """A decoder over ``model(input_ids, attention_mask, position_ids)``."""

    def __init__(self, model: nn.Module) -> None:
        """model: a Hugging Face causal language model, or one in a peft wrapper."""
        super().__init__(model)
        accepted = inspect.signature(self.causal_lm.forward).parameters
        self._keeps_some = "logits_to_keep" in accepted
        self._head = read_head(model)
        self._head_is_all: bool | None = None  # not checked yet

    def states(self, tree: TokenTree) -> States:
        """What the model's head receives; where few, the logits, and the head is the identity."""
        rows = []
        if bool(tree.scored_prefix.any()):
            positions, _ = tree.all_positions()
            rows.append((tree.prefix_ids, tree.real_prefix, positions, tree.scored_prefix))
        if bool(tree.scored_continuation.any()):
            rows.append(_unshared(tree))
        tokens = sum(ids.numel() for ids, *_ in rows)
        many = tokens * int(self.causal_lm.config.vocab_size) > output.LOGITS_AT_ONCE
        apart = many and self._can_part()
        head = self._head if apart else Head(nn.Identity())
        parts = [self._rows(*each, apart) for each in rows]
        if not parts:
            nothing = torch.zeros(0, 1, device=self.device)
            return States(nothing, head, nothing[:, 0].long())
        found, target = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
        return States(found, head, target)

    def _rows(
        self, ids: Tensor, real: Tensor, positions: Tensor, scored: Tensor, apart: bool
    ) -> tuple[Tensor, Tensor]:
        """Logits (S, V), or the head's inputs (S, d), and ids (S,), of scored tokens of (N, M).

        apart: whether the head is done later.
        """
        device = self.device
        target = ids[scored].to(device)
        first = int(scored.any(0).nonzero()[0]) if self._keeps_some else 1
        kept = {"logits_to_keep": ids.shape[1] - first + 1} if self._keeps_some else {}
        inputs = {
            "input_ids": ids.to(device),
            "attention_mask": real.long().to(device),
            "position_ids": positions.to(device),
            "use_cache": False,
            **kept,
        }
        with _recomputing(self.model):
            # (N, M - first + 1, …), from the column before the first that is scored
            found = self._hidden(inputs) if apart else self.model(**inputs).logits
        return found[:, :-1][scored[:, first:].to(device)], target

    def _hidden(self, inputs: Mapping[str, Any]) -> Tensor:
        """What the model's head receives; of the logits only one token's are made."""
        found: list[Tensor] = []

        def catch(_module: nn.Module, received: tuple[Tensor, ...]) -> tuple[Tensor]:
            found.append(received[0])
            return (received[0][:1, :1],)

        head: Any = self._head.map
        handle = head.register_forward_pre_hook(catch)
        try:
            self.model(**inputs)
        finally:
            handle.remove()
        return found[0]

    @torch.no_grad()
    def _can_part(self) -> bool:
        """Whether our head makes the model's logits of what its head receives; checked once."""
        if self._head_is_all is None:
            self._head_is_all = False
            if isinstance(self._head.map, nn.Module) and not is_sharded(self.model):
                ids = torch.arange(4, device=self.device)[None]
                inputs = {"input_ids": ids, "use_cache": False}
                logits, hidden = self.model(**inputs).logits.float(), self._hidden(inputs)
                ours = self._head.logits(hidden).float()
                self._head_is_all = torch.allclose(ours, logits, atol=1e-2, rtol=1e-2)
        return self._head_is_all


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

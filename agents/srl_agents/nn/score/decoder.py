"""A decoder: log-probabilities of the requested tokens of a tree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from srl_agents.nn.families import causal_lm
from srl_agents.nn.linear import Map
from srl_agents.nn.tree import Continuation, TokenTree, tree_of

_LOGITS_AT_ONCE = 32_000_000  # more are computed in parts, and again in the backward pass


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Log-probabilities and entropies in the shape of a tree; exactly 0 if not requested.

    prefix_logprobs, prefix_mask: (P, L); the masks mark what was requested.
    logprobs, mask, entropy: (B, T), the continuations'.
    Entropies (nats) are for logging and carry no gradient.
    """

    prefix_logprobs: Tensor
    prefix_mask: Tensor
    logprobs: Tensor
    mask: Tensor
    entropy: Tensor


class Decoder(ABC):
    """A causal language model that scores trees of tokens; gradients reach its parameters.

    shares_prefixes: whether a prefix is computed once for all its continuations.
    """

    shares_prefixes = False

    def __init__(self, model: nn.Module) -> None:
        """model: a Hugging Face causal language model, or one in a peft wrapper."""
        self.model = model
        self.causal_lm: Any = causal_lm(model)

    @property
    def device(self) -> torch.device:
        """Where the model's parameters are."""
        return next(self.model.parameters()).device

    @abstractmethod
    def score(self, tree: TokenTree, temperature: float = 1.0) -> TokenScores:
        """Log-probabilities, at a temperature, of the tokens that the tree requests.

        tree: on the CPU; the answer is on the model's device.
        """

    def token_logprobs(
        self,
        prefixes: Sequence[Sequence[int]],
        continuations: Sequence[Continuation],
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities, mask and entropies of every continuation's tokens, each (B, T).

        Log-probabilities are at ``temperature`` and 0 where the mask is False (padding).
        Entropies carry no gradient. Raises BadOption if a continuation starts outside its prefix.
        """
        scores = self.score(tree_of(prefixes, continuations), temperature)
        return scores.logprobs, scores.mask, scores.entropy

    def sequence_logprobs(
        self, sequences: Sequence[Sequence[int]], temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of each token after those before it, and mask, both (P, L).

        The mask is False in the padding and for the first token.
        """
        scores = self.score(tree_of(sequences, score_prefix=True), temperature)
        return scores.prefix_logprobs, scores.prefix_mask


def token_statistics(
    hidden: Tensor, head: Map, target: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of targets (S,) and entropies (S,) after hidden states (S, d).

    Large vocabularies are done in parts whose logits are recomputed in the backward pass.
    """
    vocabulary = getattr(head, "out_features", hidden.shape[-1])
    rows = max(1, _LOGITS_AT_ONCE // vocabulary)
    if len(target) <= rows:
        return _statistics(hidden, head, target, temperature)
    parts = [
        checkpoint(_statistics, part, head, wanted, temperature, use_reentrant=False)
        for part, wanted in zip(torch.split(hidden, rows), torch.split(target, rows), strict=True)
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _statistics(
    hidden: Tensor, head: Map, target: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    logits = head(hidden).float()
    if temperature != 1.0:
        logits = logits / temperature
    log_probs = torch.log_softmax(logits, -1)
    with torch.no_grad():
        entropy = -(log_probs.exp() * log_probs).sum(-1)
    return log_probs.gather(1, target[:, None])[:, 0], entropy


def scores_of(tree: TokenTree, log_probs: Tensor, entropy: Tensor) -> TokenScores:
    """Flat scores, prefixes' first, put back into the tree's shape."""
    masks = [mask.to(log_probs.device) for mask in (tree.scored_prefix, tree.scored_continuation)]
    sizes = [int(mask.sum()) for mask in masks]

    def shaped(flat: Tensor) -> list[Tensor]:
        return [
            torch.zeros(mask.shape, device=flat.device).masked_scatter(mask, part)
            for mask, part in zip(masks, torch.split(flat, sizes), strict=True)
        ]

    logprobs, entropies = shaped(log_probs), shaped(entropy)
    return TokenScores(logprobs[0], masks[0], logprobs[1], masks[1], entropies[1])

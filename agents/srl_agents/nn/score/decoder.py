"""A decoder: log-probabilities of the requested tokens of a tree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from srl_agents.nn import head as output
from srl_agents.nn.families import causal_lm
from srl_agents.nn.head import Head
from srl_agents.nn.tree import Continuation, TokenTree, tree_of


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Log-probabilities and entropies in the shape of a tree; exactly 0 if not requested.

    prefix_logprobs, prefix_mask: (P, L); the masks mark what was requested.
    logprobs, mask, entropy: (B, T), the continuations'. divergence: (B, T), their divergences from
    other states; None if none were given.
    Entropies (nats) are for logging and carry no gradient.
    """

    prefix_logprobs: Tensor
    prefix_mask: Tensor
    logprobs: Tensor
    mask: Tensor
    entropy: Tensor
    divergence: Tensor | None = None


@dataclass(frozen=True, slots=True)
class States:
    """What predicts S tokens: hidden states (S, d), and the head that makes logits of them.

    target: (S,) the tokens.
    """

    hidden: Tensor
    head: Head
    target: Tensor


@dataclass(frozen=True, slots=True)
class Other:
    """Other states of the same tokens, and how distributions are compared with theirs.

    measure: takes log-probabilities (S, V), ours with gradient and theirs without; gives (S,).
    """

    states: States
    measure: Callable[[Tensor, Tensor], Tensor]


class Decoder(ABC):
    """A causal language model that scores trees of tokens; gradients reach its parameters.

    shares_prefixes: whether a prefix is computed once for all its continuations. path: how it
    computes, in words, and why if that is slower.
    """

    shares_prefixes = False
    path = "the model's own forward pass"

    def __init__(self, model: nn.Module) -> None:
        """model: a Hugging Face causal language model, or one in a peft wrapper."""
        self.model = model
        self.causal_lm: Any = causal_lm(model)

    @property
    def device(self) -> torch.device:
        """Where the model's parameters are."""
        return next(self.model.parameters()).device

    @abstractmethod
    def states(self, tree: TokenTree) -> States:
        """What predicts the tokens that the tree requests, those of its prefixes first."""

    def score(
        self, tree: TokenTree, temperature: float = 1.0, other: Other | None = None
    ) -> TokenScores:
        """Log-probabilities, at a temperature, of the tokens that the tree requests.

        tree: on the CPU; the answer is on the model's device. other: states of the same tokens,
        in a tree that requests no prefix tokens.
        """
        return scores_of(tree, *token_statistics(self.states(tree), temperature, other))

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
    states: States, temperature: float, other: Other | None = None
) -> tuple[Tensor, ...]:
    """Log-probabilities (S,) and entropies (S,); with other states also divergences (S,).

    Large vocabularies are done in parts whose logits are recomputed in the backward pass.
    """
    if other is None:
        return states.head.scores(states.hidden, states.target, temperature)
    rows = max(1, output.LOGITS_AT_ONCE // (2 * states.head.vocabulary(states.hidden)))
    tensors = (states.hidden, states.target, other.states.hidden)
    if len(states.target) <= rows:
        return _compared(*tensors, states.head, temperature, other)
    found: list[tuple[Tensor, ...]] = [
        checkpoint(_compared, *part, states.head, temperature, other, use_reentrant=False)
        for part in zip(*(torch.split(each, rows) for each in tensors), strict=True)
    ]
    return tuple(torch.cat(each) for each in zip(*found, strict=True))


def _compared(
    hidden: Tensor, target: Tensor, theirs: Tensor, head: Head, temperature: float, other: Other
) -> tuple[Tensor, ...]:
    """As ``token_statistics``; theirs: the other hidden states of these rows."""
    log_probs = head.log_probs(hidden, temperature)
    found = output.chosen(log_probs, target)
    with torch.no_grad():
        expected = other.states.head.log_probs(theirs, temperature)
    return *found, other.measure(log_probs, expected)


def scores_of(
    tree: TokenTree, log_probs: Tensor, entropy: Tensor, divergence: Tensor | None = None
) -> TokenScores:
    """Flat scores, prefixes' first, put back into the tree's shape."""
    masks = [mask.to(log_probs.device) for mask in (tree.scored_prefix, tree.scored_continuation)]
    sizes = [int(mask.sum()) for mask in masks]

    def shaped(flat: Tensor) -> list[Tensor]:
        return [
            torch.zeros(mask.shape, dtype=flat.dtype, device=flat.device).masked_scatter(mask, part)
            for mask, part in zip(masks, torch.split(flat, sizes), strict=True)
        ]

    logprobs, entropies = shaped(log_probs), shaped(entropy)
    compared = None if divergence is None else shaped(divergence)[1]
    return TokenScores(logprobs[0], masks[0], logprobs[1], masks[1], entropies[1], compared)

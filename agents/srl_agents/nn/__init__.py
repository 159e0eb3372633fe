"""Causal language models: log-probabilities for training, and sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.nn.sample import Completion, Sampler
    from srl_agents.nn.score import Decoder, TokenScores, make_decoder
    from srl_agents.nn.tree import Continuation, TokenTree, shared_prefixes, tree_of

__all__ = [
    "Completion",
    "Continuation",
    "Decoder",
    "Sampler",
    "TokenScores",
    "TokenTree",
    "make_decoder",
    "shared_prefixes",
    "tree_of",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "score": ("Decoder", "TokenScores", "make_decoder"),
        "tree": ("Continuation", "TokenTree", "shared_prefixes", "tree_of"),
        "sample": ("Completion", "Sampler"),
    },
)

"""Chooses the decoder of a model, and checks it once."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from srl_agents.nn.families import unsupported
from srl_agents.nn.score.decoder import Decoder
from srl_agents.nn.score.plain import PlainDecoder
from srl_agents.nn.score.shared_prefix import SharedPrefixDecoder
from srl_agents.nn.tree import Continuation, tree_of

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}


def make_decoder(model: nn.Module) -> Decoder:
    """The fastest decoder that agrees with the model's own forward pass.

    model: a Hugging Face causal language model, or one in a peft wrapper. A known family gets the
    shared-prefix decoder if its log-probabilities of a few tokens are those of the forward pass.
    If they differ, there is a warning. It then gets the plain decoder, as other families do.
    """
    plain = PlainDecoder(model)
    reason = unsupported(model)
    if reason is not None:
        plain.path += f", which repeats shared prompts: {reason}"
        return plain
    shared = SharedPrefixDecoder(model)
    error = _disagreement(shared, plain)
    if error <= _TOLERANCE.get(next(model.parameters()).dtype, 1e-3):
        return shared
    plain.path += ", which repeats shared prompts: the shared-prefix decoder differs from it"
    warnings.warn(
        f"the shared-prefix decoder differs from this model's forward pass by {error:.2g} nats; "
        "its plain forward pass is used instead, which repeats shared prompts",
        stacklevel=2,
    )
    return plain


@torch.no_grad()
def _disagreement(first: Decoder, second: Decoder) -> float:
    """Largest difference of two decoders' log-probabilities on a small tree, in nats."""
    model, was_training = first.model, first.model.training
    model.eval()
    try:
        one, two = (_probe(decoder) for decoder in (first, second))
    finally:
        model.train(was_training)
    difference = float((one - two).abs().max())
    return difference if difference == difference else float("inf")


def _probe(decoder: Decoder) -> Tensor:
    """Log-probabilities of every token of two prefixes and three continuations."""
    vocabulary: int = decoder.causal_lm.config.vocab_size
    ids = [(7 * i * i + 3 * i + 1) % vocabulary for i in range(24)]
    continuations = [
        Continuation(0, 3, ids[10:14]),
        Continuation(0, 7, ids[14:16]),
        Continuation(1, 4, ids[16:21]),
    ]
    scores = decoder.score(tree_of([ids[:7], ids[7:11]], continuations, score_prefix=True))
    return torch.cat([scores.prefix_logprobs.flatten(), scores.logprobs.flatten()])

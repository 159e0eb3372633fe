"""How far a policy is from a teacher, token by token: pure functions of tensors.

Teachers have no gradient. KL(T ‖ S) is *forward*: it puts probability wherever the teacher does.
KL(S ‖ T) is *reverse*: it takes probability from where the teacher has none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from srl_agents.objectives.choices import Divergence


def divergence(
    logprobs: Tensor,
    teacher: Tensor,
    kind: Divergence,
    beta: float = 0.5,
    clip: float | None = None,
) -> Tensor:
    """The divergence of distributions over the vocabulary.

    logprobs, teacher: (…, V). beta: the teacher's weight in the mixture m of "jsd",
    β·KL(T ‖ m) + (1 − β)·KL(S ‖ m) with m = β·T + (1 − β)·S. clip: the most that one entry of the
    vocabulary adds. Returns (…).
    Source: OPSD, arXiv:2601.18734; the clip is from its code.
    """
    if kind == "forward":
        terms = teacher.exp() * (teacher - logprobs)
    elif kind == "reverse":
        terms = logprobs.exp() * (logprobs - teacher)
    else:
        mixture = torch.logaddexp(teacher + math.log(beta), logprobs + math.log1p(-beta))
        terms = beta * teacher.exp() * (teacher - mixture)
        terms = terms + (1 - beta) * logprobs.exp() * (logprobs - mixture)
    return (terms if clip is None else terms.clamp(max=clip)).sum(-1)


def divergence_estimate(
    logprobs: Tensor, teacher: Tensor, kind: Divergence, clip: float | None = None
) -> Tensor:
    """A term per token that the policy sampled, whose gradient is the divergence's in expectation.

    logprobs, teacher: of the sampled tokens. With d = log T − log S, "reverse" is d²/2 (its
    gradient is −d·∇log S) and "forward" is exp(d) − d − 1 (its gradient is (1 − T/S)·∇log S).
    clip: the largest term. Returns their shape.
    """
    difference = teacher - logprobs
    forward = kind == "forward"
    terms = difference.exp() - difference - 1 if forward else difference.square() / 2
    return terms if clip is None else terms.clamp(max=clip)


def evidence_weights(logprobs: Tensor, teacher: Tensor, signs: Tensor, clip: float) -> Tensor:
    """w = clip(exp(sign(A)·(log T − log S)), 1 − clip, 1 + clip), without gradient.

    logprobs, teacher: (B, T). signs: (B, 1), of the advantages.
    Source: RLSD, arXiv:2604.03128.
    """
    difference = (teacher - logprobs).detach()
    return torch.exp(signs * difference).clamp(1 - clip, 1 + clip)

"""What an update minimises, token by token: pure functions of tensors.

Every term has the shape (B, T) of its log-probs: B completions, padded to T tokens. ``aggregate``
sums a term with one weight per completion. The weights come from the *whole* batch
(``completion_weights``), before it is split into micro-batches, so the gradient depends neither on
the split nor on the padding. Prompts are not in these tensors: context gets no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from srl_agents.objectives.choices import Aggregation, SamplerCorrection


def clipped_surrogate(
    logprobs: Tensor,
    advantages: Tensor,
    old_logprobs: Tensor | None = None,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Tensor:
    """−min(ρA, clip(ρ, 1 − clip_low, 1 + clip_high)·A), with ρ = exp(logprobs − old_logprobs).

    logprobs: (B, T), with gradient. advantages: (B,), or (B, T) with one for each token.
    old_logprobs: (B, T) under the weights that sampled the batch; None if those are the current
    weights: ρ is then 1 with ∇ρ = ∇log p.
    clip_high > clip_low is clip-higher. Returns (B, T).
    Source: GRPO, arXiv:2402.03300, eq. 3; clip-higher: DAPO, arXiv:2503.14476, eq. 10.
    """
    old = logprobs.detach() if old_logprobs is None else old_logprobs
    ratio = torch.exp(logprobs - old)
    advantage = advantages if advantages.ndim == 2 else advantages.unsqueeze(1)  # (B, 1)
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratio * advantage, clipped * advantage)


def shaped_policy_gradient(logprobs: Tensor, advantages: Tensor, gamma: float = 0.1) -> Tensor:
    """−f(π)·A with f(x) = x / (x + gamma): unlikely tokens of an expert are learned faster.

    logprobs: (B, T) of tokens that were not sampled, with gradient. advantages: (B,).
    Returns (B, T). Source: LUFFY, arXiv:2504.14945, policy shaping.
    """
    probs = logprobs.exp()
    return -probs / (probs + gamma) * advantages.unsqueeze(1)


def mixture_policy_gradient(
    logprobs: Tensor, advantages: Tensor, old_logprobs: Tensor | None = None, gamma: float = 0.5
) -> Tensor:
    """−2π / (π_ω + π_old) · (1 − sg π)^gamma · A, with π_ω = (π_old + 1) / 2 for the expert.

    The expert's own probabilities are unknown, so π_ω stands for them.
    logprobs: (B, T) of an expert's tokens, with gradient. advantages: (B,). old_logprobs: (B, T)
    by the weights before the update; None if those are the current weights. Returns (B, T).
    Source: RL-PLUS, arXiv:2508.00222; π_ω and gamma = 0.5 as in its code.
    """
    probs = logprobs.exp()
    old = probs.detach() if old_logprobs is None else old_logprobs.exp()
    ratio = 2 * probs / ((old + 1) / 2 + old)
    return -ratio * (1 - probs.detach()).clamp(min=0.0).pow(gamma) * advantages.unsqueeze(1)


def sequence_means(logprobs: Tensor, mask: Tensor) -> Tensor:
    """The mean log-prob of each completion at each of its tokens, (B, T).

    The ratio of two of them is GSPO's: (π(y)/π_old(y))^(1/|y|). logprobs: (B, T), with gradient.
    mask: (B, T). Source: GSPO, arXiv:2507.18071, eq. 7.
    """
    sums = logprobs.where(mask, 0.0).sum(1, keepdim=True)
    return (sums / mask.sum(1, keepdim=True).clamp(min=1)).expand_as(logprobs)


def weighted_likelihood(
    logprobs: Tensor,
    advantages: Tensor,
    old_logprobs: Tensor | None,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """−sg(clip(ρ, 1 − clip_low, 1 + clip_high))·A·log p, with ρ = exp(logprobs − old_logprobs).

    The ratio is a weight, so a clipped token keeps its gradient. As in ``clipped_surrogate``
    otherwise. Returns (B, T). Source: CISPO, arXiv:2506.13585, eq. 4 and 5.
    """
    now = logprobs.detach()
    ratio = torch.exp(now - (now if old_logprobs is None else old_logprobs))
    return -ratio.clamp(1 - clip_low, 1 + clip_high) * advantages.unsqueeze(1) * logprobs


def overlong_penalty(length: int, longest: int, band: float) -> float:
    """0 up to longest − band tokens, then down in a straight line to −1 at ``longest``.

    band: in tokens; 0 for no penalty. Source: DAPO, arXiv:2503.14476, eq. 13.
    """
    return max(-1.0, min(0.0, (longest - band - length) / band)) if band else 0.0


def sampler_ratio(
    old_logprobs: Tensor, sampler_logprobs: Tensor, mask: Tensor, correction: SamplerCorrection
) -> Tensor:
    """π_train / π_sampler of each token, or of the completion it belongs to ("sequence-").

    old_logprobs: (B, T) by the trainer's own forward pass, with the weights that sampled the
    batch. sampler_logprobs: (B, T) as the sampler reported them. mask: (B, T). Returns (B, T), no
    gradient.
    """
    difference = old_logprobs.detach() - sampler_logprobs
    if correction.startswith("sequence"):
        difference = difference.where(mask, 0.0).sum(1, keepdim=True).expand_as(difference)
    return torch.exp(difference)


def capped(ratio: Tensor, correction: SamplerCorrection, cap: float) -> Tensor:
    """The weight of each token from its ratio to the sampler: min(ratio, cap), or 0 above the cap.

    Source: truncated importance sampling (TIS), https://fengyao.notion.site/off-policy-rl; masked
    (MIS): IcePop, https://ringtech.notion.site/icepop, which also masks ratios below a bound.
    """
    if correction.endswith("tis"):
        return ratio.clamp(max=cap)
    return ratio.where(ratio <= cap, 0.0)


def kl_estimate(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """An estimate of KL(π ‖ reference) per token that is never negative.

    With d = log reference − log π at the sampled token: exp(d) − d − 1, "k3".
    Both (B, T). Returns (B, T). Source: http://joschu.net/blog/kl-approx.html.
    """
    difference = reference_logprobs - logprobs
    return torch.exp(difference) - difference - 1


def entropy_bonus(logprobs: Tensor) -> Tensor:
    """Terms whose gradient is, in expectation over sampled tokens, −∇ of the policy's entropy.

    ∇H = −E[log p · ∇log p], so minimising log p·sg(log p) keeps the entropy up. Its value has no
    meaning. logprobs: (B, T) of tokens that the policy sampled itself. Returns (B, T).
    """
    return logprobs * logprobs.detach()


def completion_weights(
    lengths: Tensor,
    sequences: Tensor,
    aggregation: Aggregation = "sequence",
    constant_length: int | None = None,
) -> Tensor:
    """The weight of one token of each completion in the batch's loss.

    lengths: (B,) tokens of each completion. sequences: (B,) integers 0 … S−1; completions with
    the same number are steps of one sequence and share its mean.
    aggregation: "sequence", the mean over each sequence's tokens, then over sequences (GRPO);
    "token", the mean over all tokens (DAPO); "constant", the sum over tokens divided by
    S·constant_length, so that a token has the same weight in every batch (Dr. GRPO).
    constant_length: how many tokens a sequence may have at most.
    Returns (B,) float64.
    """
    count = int(torch.unique(sequences).numel())
    if aggregation == "token":
        return torch.full_like(lengths, 1.0 / int(lengths.sum()), dtype=torch.float64)
    if aggregation == "constant":
        if constant_length is None:
            raise ValueError("aggregation 'constant' divides by constant_length; none was given")
        weight = 1.0 / (count * constant_length)
        return torch.full_like(lengths, weight, dtype=torch.float64)
    totals = torch.zeros(int(sequences.max()) + 1, dtype=torch.float64, device=lengths.device)
    totals.index_add_(0, sequences, lengths.double())
    return 1.0 / (count * totals[sequences])


def aggregate(terms: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """The loss: the sum of the terms of real tokens, each with its completion's weight.

    terms, mask: (B, T), the mask True where there is a token. weights: (B,) from
    ``completion_weights`` of the whole batch. Returns a scalar. The scalars of a batch's
    micro-batches sum to that of the batch.
    """
    # where() rather than a product: padding may hold inf or nan, and 0·inf is nan.
    return (terms.where(mask, 0.0) * weights.unsqueeze(1).to(terms.dtype)).sum()


def weighted_sum(terms: Sequence[Tensor], mask: Tensor, weights: Tensor) -> Tensor:
    """The loss of several terms, each (B, T): a scalar, as ``aggregate`` gives it.

    weights: (B,), the same for all terms; or (B, K), a column for each, so that every term is
    normalised by its own tokens.
    """
    if weights.ndim == 1:
        return aggregate(sum(terms[1:], start=terms[0]), mask, weights)
    columns = zip(terms, weights.unbind(1), strict=True)
    first, *more = (aggregate(term, mask, column) for term, column in columns)
    return sum(more, start=first)

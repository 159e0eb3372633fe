"""Thoughts closed after a limit, for engines that sample without being looked at: in two parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from srl_agents.policies.tokens import PromptEncoder
from srl_env.errors import Failure
from srl_env.policy import Generation, Sampling
from srl_env.seeding import derive_seed
from srl_env.text.stops import thought_is_open

Prompts = Sequence[Sequence[int]]
Sample = Callable[[Prompts, Sampling], Sequence[Generation | Failure]]


def sample_closing_thoughts(
    prompts: Prompts, sampling: Sampling, encoder: PromptEncoder, sample: Sample, context: int
) -> list[Generation | Failure]:
    """What ``sample`` gives; thoughts still open after ``max_thinking_tokens`` are closed.

    A completion that reaches the limit is continued, after the closing tag if its thought is open.
    context: how many positions a prompt and its completion have.
    """
    limit = sampling.max_thinking_tokens
    if limit is None or limit >= sampling.max_tokens:
        return list(sample(prompts, replace(sampling, max_thinking_tokens=None)))
    first = replace(sampling, max_tokens=limit, max_thinking_tokens=None)
    made = list(sample(prompts, first))
    for closing in ([], encoder.closing):
        rows = [
            row
            for row, part in enumerate(made)
            if isinstance(part, Generation)
            and (part.finish_reason, len(part.token_ids)) == ("length", limit)
            and len(prompts[row]) + limit + len(closing) < context
            and thought_is_open(encoder.decode(part.token_ids, sampling.prefill)) == bool(closing)
        ]
        left = sampling.max_tokens - limit - len(closing)
        if not rows or left < 1:
            continue
        seeds = tuple(derive_seed("after the limit", seed) for seed in sampling.of(rows).seeds)
        how = replace(first.of(rows), max_tokens=left, seeds=seeds)
        begun = [made[row] for row in rows]
        longer = [
            [*prompts[row], *part.token_ids, *closing]
            for row, part in zip(rows, begun, strict=True)
            if isinstance(part, Generation)
        ]
        for row, part, rest in zip(rows, begun, sample(longer, how), strict=True):
            assert isinstance(part, Generation), "failures are not continued"
            made[row] = rest if isinstance(rest, Failure) else _joined(part, rest, closing)
    return [_finished(each, encoder, sampling) for each in made]


def _joined(part: Generation, rest: Generation, closing: Sequence[int]) -> Generation:
    """A completion of two parts, with closing ids between them; its text is not made yet."""
    begin = len(part.token_ids)
    return replace(
        part,
        token_ids=(*part.token_ids, *closing, *rest.token_ids),
        logprobs=(*part.logprobs, *[0.0] * len(closing), *rest.logprobs),
        finish_reason=rest.finish_reason,
        forced=(begin, begin + len(closing)) if closing else (0, 0),
    )


def _finished(
    made: Generation | Failure, encoder: PromptEncoder, sampling: Sampling
) -> Generation | Failure:
    """The generation with the text of all its ids, cut at a stop string."""
    if isinstance(made, Failure):
        return made
    parts = (made.prompt_ids, made.token_ids, made.logprobs, made.finish_reason)
    return encoder.generation(*parts, sampling, made.forced)

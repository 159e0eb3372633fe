"""An episode of several steps as one sequence of tokens, for trainers that need one.

The prompt of each step is made from the history, so it may not begin with the earlier tokens:
reasoning is removed from the history, and a sampled text may be truncated or encoded
differently. A sequence only contains tokens in the context in which they were sampled. It ends
where the next prompt does not continue it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srl_env.policy import Generation


@dataclass(frozen=True, slots=True)
class Transcript:
    """One prompt and the tokens after it.

    completion_ids: of the policy and of the environment (N); mask: 1 for sampled tokens, 0 for
    the environment's (N); logprobs: as sampled, 0.0 for the environment's (N), or empty if
    unknown. steps: number of the episode's steps in it, from the first.
    """

    prompt_ids: list[int]
    completion_ids: list[int]
    mask: list[int]
    logprobs: list[float]
    steps: int


def transcript(generations: Sequence[Generation]) -> Transcript:
    """The longest beginning of an episode that is one sequence; at least its first step.

    generations: of the episode's steps, at least one, with token ids.
    """
    first = generations[0]
    prompt, written = list(first.prompt_ids), list(first.token_ids)
    mask, logprobs = [1] * len(written), list(first.logprobs)
    count = 1
    for generation in generations[1:]:
        so_far = [*prompt, *written]
        shown = list(generation.prompt_ids)
        if shown[: len(so_far)] != so_far:
            break
        answered = shown[len(so_far) :]
        written += [*answered, *generation.token_ids]
        mask += [0] * len(answered) + [1] * len(generation.token_ids)
        logprobs += [0.0] * len(answered) + list(generation.logprobs)
        count += 1
    known = len(logprobs) == len(written)
    return Transcript(prompt, written, mask, logprobs if known else [], count)

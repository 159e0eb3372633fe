"""Turns whose next prompt does not continue the tokens that were sampled, and why.

A policy writes a turn, and the next prompt shows it again, as the history keeps it and as the chat
template renders it. Histories show actions without thinking (``srl_env.text.prompt``). Templates
such as Qwen3's remove earlier thinking, and others trim white space. The next prompt's tokens then
differ from the sampled ones: they have drifted.

Training is not affected. A turn is a record of its own, with its prompt and its sampled tokens, and
records share computation only as far as their tokens agree (``packing``). Drift is logged for
readers who expect turns to continue one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from srl_env.rollout import Episode, Step
from srl_env.text.format import CLOSE

_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Drift:
    """The prompt of turn ``turn`` (from 1) does not continue what was sampled before it.

    at: the first token of the prompt that differs. sampled, shown: the texts from there on,
    truncated.
    """

    turn: int
    at: int
    reason: str
    sampled: str
    shown: str

    def __str__(self) -> str:
        return (
            f"turn {self.turn}: {self.reason} (token {self.at}: {self.sampled!r} before, "
            f"{self.shown!r} in this prompt)"
        )


def find_drifts(episode: Episode, tokenizer: Any) -> Iterator[Drift]:
    """The turns of an episode whose prompt differs from the conversation so far, in order.

    tokenizer: a Hugging Face one, for the texts. Turns that begin another conversation do not
    count: after an expert's action, or if all steps so far are in one message.
    """
    for turn, (before, after) in enumerate(_turns(episode), 2):
        sampled, shown = _tokens(before), after.generation.prompt_ids
        if not continues(before, after):
            agree = [one == other for one, other in zip(sampled, shown, strict=False)]
            at = (*agree, False).index(False)
            texts = [str(tokenizer.decode(list(ids[at:]))) for ids in (sampled, shown)]
            written = texts[0].removesuffix(_end(before, tokenizer))
            reason = _reason(before, after, at, written, texts[1])
            yield Drift(turn, at, reason, *(text[:_SHOWN_CHARACTERS] for text in texts))


def drift_fraction(episodes: Iterable[Episode]) -> float | None:
    """The fraction of continued turns whose prompt has drifted; None if there are none."""
    drifted = [not continues(*turns) for episode in episodes for turns in _turns(episode)]
    return sum(drifted) / len(drifted) if drifted else None


def continues(before: Step, after: Step) -> bool:
    """Whether the later step's prompt begins with the earlier one's prompt and sampled tokens."""
    tokens = _tokens(before)
    return after.generation.prompt_ids[: len(tokens)] == tokens


def _turns(episode: Episode) -> Iterator[tuple[Step, Step]]:
    """Neighbouring steps of which the later is the next turn of the earlier's conversation."""
    if episode.continuation == "policy":
        for before, after in pairwise(episode.steps):
            if _answer(before, after) is not None and before.generation.token_ids:
                yield before, after


def _answer(before: Step, after: Step) -> str | None:
    """The earlier step's turn in the later one's messages; None if there is none."""
    count = len(before.messages)
    if len(after.messages) <= count or after.messages[:count] != before.messages:
        return None
    following = after.messages[count]
    return following["content"] if following["role"] == "assistant" else None


def _tokens(step: Step) -> tuple[int, ...]:
    return step.generation.prompt_ids + step.generation.token_ids


def _end(step: Step, tokenizer: Any) -> str:
    """The token that ended the completion, as text; "" if it is part of the completion's text.

    Templates may close a turn with another token.
    """
    generation = step.generation
    last = str(tokenizer.decode(list(generation.token_ids[-1:])))
    return "" if generation.text.endswith(last) else last


def _reason(before: Step, after: Step, at: int, sampled: str, shown: str) -> str:
    """Why the tokens differ from ``at`` on. sampled: without the token that ended it."""
    text, kept = before.generation.text.strip(), (_answer(before, after) or "").strip()
    if kept != text and kept in text:
        return "the history shows the action of the turn before without its thinking"
    if kept != text:
        return "the history shows a different text than the sampled one"
    if not sampled:
        return "the chat template closes the turn before with a different token"
    if shown.startswith(sampled):
        return "the same text has different tokens"
    if _squeezed(shown).startswith(_squeezed(sampled)):
        return "the chat template changed white space"
    _, closed, rest = sampled.rpartition(CLOSE)  # without the thinking, or with an empty one
    texts = (shown, shown.partition(CLOSE)[2])
    if closed and any(_squeezed(each).startswith(_squeezed(rest)) for each in texts):
        return "the chat template removed the thinking of the turn before"
    which = "an earlier message" if at < len(before.generation.prompt_ids) else "the turn before"
    return f"the chat template renders {which} differently"


def _squeezed(text: str) -> str:
    return "".join(text.split())

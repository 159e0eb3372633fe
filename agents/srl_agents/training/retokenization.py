"""Where a conversation's next prompt is not what was sampled before it, and why.

A policy writes a turn; the next prompt shows it again, as the history keeps it and as the chat
template renders it. Histories show actions without thinking (``srl_env.text.prompt``), templates as
Qwen3's take earlier thinking out themselves, others trim white space. The tokens of the next
prompt then differ from those that were sampled: they have drifted.

Nothing is trained on that was not sampled, because a turn is a record of its own: its prompt, and
its own sampled tokens (``groups.make_batch``). Records share computation as far as their tokens
agree and no further (``packing``, ``sampler.prefixes``): where a prompt has drifted, they split.
What is found here is told to the log, for who expects turns to continue one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from srl_env.rollout import Episode, Step
from srl_env.text.format import CLOSE

_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Drift:
    """The prompt of turn ``turn`` (from 1) does not go on with what was sampled before it.

    at: the first token of the prompt that differs. reason: why. sampled, shown: the texts from
    there on, cut short.
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

    tokenizer: a Hugging Face one, for the texts. Turns that begin another conversation are none:
    after the expert's action in place of one's own, or where the steps so far stand in one message.
    """
    for turn, (before, after) in enumerate(_turns(episode), 2):
        sampled, shown = _all_tokens(before), after.generation.prompt_ids
        if not continues(before, after):
            at = _common(sampled, shown)
            texts = [str(tokenizer.decode(list(ids[at:]))) for ids in (sampled, shown)]
            ended = _end(before, tokenizer)
            reason = _reason(before, after, at, texts[0].removesuffix(ended), texts[1])
            yield Drift(turn, at, reason, *(text[:_SHOWN_CHARACTERS] for text in texts))


def drift_fraction(episodes: Iterable[Episode]) -> float | None:
    """The share of turns that continue a conversation whose prompt has drifted; None without."""
    drifted = [not continues(*turns) for episode in episodes for turns in _turns(episode)]
    return sum(drifted) / len(drifted) if drifted else None


def continues(before: Step, after: Step) -> bool:
    """Whether the later step's prompt begins with the earlier one's prompt and sampled tokens."""
    tokens = _all_tokens(before)
    return after.generation.prompt_ids[: len(tokens)] == tokens


def _turns(episode: Episode) -> Iterator[tuple[Step, Step]]:
    """Neighbouring steps of which the later is the next turn of the earlier's conversation."""
    if episode.continuation == "policy":
        for before, after in pairwise(episode.steps):
            if _answer(before, after) is not None and before.generation.token_ids:
                yield before, after


def _answer(before: Step, after: Step) -> str | None:
    """The earlier step's own turn in the later one's messages; None where there is none."""
    count = len(before.messages)
    if len(after.messages) <= count or after.messages[:count] != before.messages:
        return None
    following = after.messages[count]
    return following["content"] if following["role"] == "assistant" else None


def _all_tokens(step: Step) -> tuple[int, ...]:
    return step.generation.prompt_ids + step.generation.token_ids


def _end(step: Step, tokenizer: Any) -> str:
    """The token that ended the step's completion, as text; "" for one that is part of its text.

    Templates may close a turn with another one.
    """
    generation = step.generation
    last = str(tokenizer.decode(list(generation.token_ids[-1:])))
    return "" if generation.text.endswith(last) else last


def _reason(before: Step, after: Step, at: int, sampled: str, shown: str) -> str:
    """Why the tokens differ from ``at`` on, where they are these texts.

    sampled: without the token that ended it, which says nothing about the text.
    """
    text, kept = before.generation.text.strip(), (_answer(before, after) or "").strip()
    if kept != text and kept in text:
        return "the history shows the action of the turn before without its thinking"
    if kept != text:
        return "the history shows another text than was sampled"
    if not sampled:
        return "the chat template closes the turn before with another token than ended it"
    if shown.startswith(sampled):
        return "the same text is made of other tokens"
    if _squeezed(shown).startswith(_squeezed(sampled)):
        return "white space was changed by the chat template"
    if _without_thinking(sampled, shown):
        return "the thinking of the turn before was removed by the chat template"
    if at < len(before.generation.prompt_ids):
        return "an earlier message is rendered otherwise by the chat template"
    return "the turn before is rendered otherwise by the chat template"


def _without_thinking(sampled: str, shown: str) -> bool:
    """Whether what is shown is what was sampled less its thinking, or with an empty one."""
    _, closed, rest = sampled.rpartition(CLOSE)
    shown_too = (shown, shown.partition(CLOSE)[2])
    return bool(closed) and any(_squeezed(text).startswith(_squeezed(rest)) for text in shown_too)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences begin with in common."""
    agree = (one == other for one, other in zip(first, second, strict=False))
    return next((i for i, same in enumerate(agree) if not same), min(len(first), len(second)))

"""Messages to token ids, and sampled ids to a ``Generation``: the same for every engine."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from srl_env.errors import BadOption, SrlEnvError
from srl_env.policy import FinishReason, Generation
from srl_env.text.prompt import Messages

_REMEMBERED_PROMPTS = 4096

MessageKey = tuple[tuple[str, str], ...]


class BrokenModel(SrlEnvError, RuntimeError):
    """A model's probabilities are no numbers, so that nothing it writes means anything."""


class PromptEncoder:
    """Token ids of messages, by a Hugging Face tokenizer; the last prompts are remembered."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._encoded: OrderedDict[MessageKey, list[int]] = OrderedDict()

    def encode_many(self, batch: Sequence[Messages]) -> list[list[int]]:
        """Each prompt's token ids: by the tokenizer's chat template, where it has one.

        Without a template the contents stand next to each other, with no separator, after a
        beginning-of-text token if the tokenizer adds one by itself. Equal messages are encoded
        once. Raises BadOption where the template refuses them.
        """
        keys = [tuple((m["role"], m["content"]) for m in messages) for messages in batch]
        new = [key for key in dict.fromkeys(keys) if key not in self._encoded]
        if new:
            self._encoded.update(zip(new, self._encode_keys(new), strict=True))
        prompts = [self._encoded[key] for key in keys]
        while len(self._encoded) > _REMEMBERED_PROMPTS:
            self._encoded.popitem(last=False)
        return prompts

    def _encode_keys(self, keys: Sequence[MessageKey]) -> list[list[int]]:
        if getattr(self._tokenizer, "chat_template", None) is None:
            texts = ["".join(content for _, content in key) for key in keys]
            first = self._first_ids()
            ids = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
            return [[*first, *row] for row in ids]
        chats = [[{"role": role, "content": content} for role, content in key] for key in keys]
        try:
            rows: list[list[int]] = self._tokenizer.apply_chat_template(
                chats, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        except Exception as error:  # templates are programs, and raise whatever they like
            raise BadOption(
                f"the tokenizer's chat template refuses these messages: {error}. If it knows no "
                "system role, use a PromptStyle without a system text"
            ) from error
        return rows

    def _first_ids(self) -> list[int]:
        """The beginning-of-text token, if the tokenizer puts it before every text."""
        bos = self._tokenizer.bos_token_id
        empty: list[int] = self._tokenizer("")["input_ids"]
        return [bos] if bos is not None and empty[:1] == [bos] else []


def stop_ids(*owners: Any) -> set[int]:
    """Every id that tokenizer, configuration or generation configuration ends a text with."""
    found: set[int] = set()
    for owner in owners:
        ids = getattr(owner, "eos_token_id", None)
        found.update(ids if isinstance(ids, (list, tuple)) else [] if ids is None else [ids])
    return found


def tokens_to_stop(
    ids: Sequence[int], stop: Sequence[str], decode: Callable[[Sequence[int]], str]
) -> int:
    """How many tokens it takes until a stop string is there; all of them without one."""

    def holds(count: int) -> bool:
        text = decode(ids[:count])
        return any(string in text for string in stop)

    low, high = 0, len(ids)
    if not stop or not holds(high):
        return high
    while high - low > 1:  # not at low, at high
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def make_generation(
    text: str,
    prompt: Sequence[int],
    token_ids: tuple[int, ...],
    logprobs: tuple[float, ...],
    finish_reason: FinishReason,
    stop: Sequence[str],
) -> Generation:
    """A generation whose text ends with the stop string that ended it.

    text: of all the ids, special tokens left out. stop: the strings asked for. Raises BrokenModel
    where a log-probability is NaN.
    """
    if any(map(math.isnan, logprobs)):
        raise BrokenModel(
            "the model's log-probabilities are no numbers (NaN): its weights are damaged, or too "
            "large for its number format; take an earlier checkpoint"
        )
    ends = [text.find(s) + len(s) for s in stop if s and s in text]
    return Generation(
        text=text[: min(ends)] if ends else text,
        token_ids=token_ids,
        logprobs=logprobs,
        prompt_ids=tuple(prompt),
        finish_reason=finish_reason,
    )

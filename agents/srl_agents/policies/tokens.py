"""Messages to token ids, and sampled ids to a ``Generation``, for every engine."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from srl_agents.policies.chat_template import ChatTemplate, hidden_ids
from srl_env.errors import BadOption, Failure, PromptRefused, SrlEnvError
from srl_env.policy import FinishReason, Generation, Sampling
from srl_env.text.format import CLOSE, OPEN
from srl_env.text.prompt import Messages
from srl_env.text.stops import cut, find_stop

_REMEMBERED_PROMPTS = 4096

MessageKey = tuple[tuple[str, str], ...]


class BrokenModel(SrlEnvError, RuntimeError):
    """A model's probabilities are NaN, so its completions mean nothing."""


class PromptEncoder:
    """Token ids of messages and completions, by a Hugging Face tokenizer, and texts of ids.

    Recent prompts are cached. opening: the thought that every prompt opens, "" for none; the texts
    of completions start with it. end: ids that end a completion. hidden: ids that texts do not
    show.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        has_template = getattr(tokenizer, "chat_template", None) is not None
        self._template = ChatTemplate(tokenizer) if has_template else None
        self.opening = self._template.opening if self._template else ""
        end = tokenizer.eos_token_id
        of_turn = self._template.turn_end if self._template else ()
        self.end: tuple[int, ...] = of_turn or (() if end is None else (end,))
        self.hidden = hidden_ids(tokenizer) | set(self.end[-1:])
        self._encoded: OrderedDict[MessageKey, list[int]] = OrderedDict()

    def encode_many(self, batch: Sequence[Messages], prefill: str = "") -> list[list[int]]:
        """Each prompt's token ids, by the tokenizer's chat template if it has one, then prefill.

        Without a template the contents are joined without a separator, after a beginning-of-text
        token if the tokenizer adds one. Equal messages are encoded once. Raises BadOption if the
        template refuses them.
        """
        keys = [tuple((m["role"], m["content"]) for m in messages) for messages in batch]
        new = [key for key in dict.fromkeys(keys) if key not in self._encoded]
        if new:
            self._encoded.update(zip(new, self._encode_keys(new), strict=True))
        prompts = [self._encoded[key] for key in keys]
        while len(self._encoded) > _REMEMBERED_PROMPTS:
            self._encoded.popitem(last=False)
        if not prefill:
            return prompts
        written = self._written(prefill).removeprefix(self.opening)
        more = self._tokenizer(written, add_special_tokens=False)["input_ids"]
        return [[*prompt, *more] for prompt in prompts]

    def decode(self, ids: Sequence[int], prefill: str = "") -> str:
        """The text of sampled ids, after what the prompt has written of it."""
        shown = [token for token in ids if token not in self.hidden]
        return self._written(prefill) + str(self._tokenizer.decode(shown))

    def _written(self, prefill: str) -> str:
        """The beginning of a completion's text: the thought that is opened once, and prefill."""
        if self.opening:
            prefill = prefill.removeprefix(OPEN).lstrip("\n")
        return self.opening + prefill

    def encode_completions(
        self, texts: Sequence[str], stop: Sequence[str] = (), prefill: str = ""
    ) -> tuple[tuple[int, ...], ...]:
        """Token ids of completions as they would be sampled, to imitate.

        They continue what the prompt has written of them. They end as the template ends a turn,
        unless one of the stop strings ends the text.
        """
        continued = [_continued(text, self._written(prefill)) for text in texts]
        rows = self._tokenizer(continued, add_special_tokens=False)
        return tuple(
            tuple(row) if text.endswith(tuple(stop)) else (*row, *self.end)
            for row, text in zip(rows["input_ids"], texts, strict=True)
        )

    def generation(
        self,
        prompt: Sequence[int],
        ids: tuple[int, ...],
        logprobs: tuple[float, ...],
        finish_reason: FinishReason,
        sampling: Sampling,
    ) -> Generation:
        """The generation of sampled ids; it is cut if the engine was not given the stop strings."""
        text = self.decode(ids, sampling.prefill)
        if sampling.thoughts and find_stop(text, sampling.stop) is not None:
            decode = partial(self.decode, prefill=sampling.prefill)
            kept = tokens_to_stop(ids, sampling.stop, decode)
            ids, logprobs, finish_reason = ids[:kept], logprobs[:kept], "stop"
            text = decode(ids)
        return make_generation(text, prompt, ids, logprobs, finish_reason, sampling.stop)

    def _encode_keys(self, keys: Sequence[MessageKey]) -> list[list[int]]:
        if self._template is None:
            texts = ["".join(content for _, content in key) for key in keys]
            first = self._first_ids()
            ids = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
            return [[*first, *row] for row in ids]
        try:
            return self._template.encode(keys)
        except Exception as error:  # templates are programs, and may raise anything
            raise BadOption(
                f"the tokenizer's chat template refuses these messages: {error}. Fix: use a"
                " template that takes messages of the system, the user and the assistant in turn"
            ) from error

    def _first_ids(self) -> list[int]:
        """The beginning-of-text token, if the tokenizer adds it to every text."""
        bos = self._tokenizer.bos_token_id
        empty: list[int] = self._tokenizer("")["input_ids"]
        return [bos] if bos is not None and empty[:1] == [bos] else []


def _continued(text: str, written: str) -> str:
    """What is left of a completion after what the prompt has written of it."""
    if text.startswith(written):
        return text.removeprefix(written)
    if not written.startswith(OPEN):
        return text
    if CLOSE in written:  # the prompt has written the whole thought
        return text.rpartition(CLOSE)[2].lstrip() if text.startswith(OPEN) else text
    return text.removeprefix(OPEN).lstrip("\n") if text.startswith(OPEN) else f"{CLOSE}\n{text}"


def stop_ids(*owners: Any) -> set[int]:
    """Every end-of-text id of a tokenizer and configurations."""
    found: set[int] = set()
    for owner in owners:
        ids = getattr(owner, "eos_token_id", None)
        found.update(ids if isinstance(ids, (list, tuple)) else [] if ids is None else [ids])
    return found


def tokens_to_stop(
    ids: Sequence[int], stop: Sequence[str], decode: Callable[[Sequence[int]], str]
) -> int:
    """How many tokens hold the first stop string; all of them without one."""

    def holds(count: int) -> bool:
        return find_stop(decode(ids[:count]), stop) is not None

    low, high = 0, len(ids)
    if not stop or not holds(high):
        return high
    while high - low > 1:  # not at low, at high
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def generate_fitting(
    prompts: Sequence[Sequence[int]],
    limit: int,
    sampling: Sampling,
    sample: Callable[[list[int], Sampling], Sequence[Generation | Failure]],
) -> list[Generation | Failure]:
    """What ``sample`` gives for prompts of fewer than ``limit`` tokens, PromptRefused for others.

    sample: takes the numbers of the prompts, and their sampling.
    """
    fitting = [i for i, prompt in enumerate(prompts) if len(prompt) < limit]
    found: list[Generation | Failure] = [
        PromptRefused(
            f"a prompt of {len(prompt)} tokens leaves no room for a completion in {limit} positions"
        )
        for prompt in prompts
    ]
    for i, made in zip(fitting, sample(fitting, sampling.of(fitting)), strict=True):
        found[i] = made
    return found


def make_generation(
    text: str,
    prompt: Sequence[int],
    token_ids: tuple[int, ...],
    logprobs: tuple[float, ...],
    finish_reason: FinishReason,
    stop: Sequence[str],
) -> Generation:
    """A generation whose text ends with the stop string that ended it.

    text: of all the ids, without special tokens. Raises BrokenModel for a NaN log-probability.
    """
    if any(map(math.isnan, logprobs)):
        raise BrokenModel(
            "the model's log-probabilities are NaN: its weights are damaged, or too large for its "
            "dtype. Fix: use an earlier checkpoint"
        )
    return Generation(
        text=cut(text, stop),
        token_ids=token_ids,
        logprobs=logprobs,
        prompt_ids=tuple(prompt),
        finish_reason=finish_reason,
    )

"""Messages to token ids, and sampled ids to a ``Generation``, for every engine."""

from __future__ import annotations

import json
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from srl_agents.policies.chat_template import ChatTemplate, ToolUse, hidden_ids
from srl_agents.policies.spelled_tokens import SpelledTokens
from srl_env.errors import BadOption, Failure, PromptRefused, SrlEnvError
from srl_env.policy import FinishReason, Generation, Sampling
from srl_env.text.format import CLOSE, OPEN, NamedCall
from srl_env.text.prompt import Message, Messages
from srl_env.text.stops import cut, find_stop
from srl_env.text.tool import Tool

_REMEMBERED_PROMPTS = 4096
_PLAIN_KEYS = {"role", "content"}

Ids = Sequence[int]
Tools = tuple[Tool, ...]
MessageKey = tuple[tuple[tuple[str, ...], ...], Tools, int]
"""The messages, the tools, and the place of a turn (−1: the whole prompt)."""


class BrokenModel(SrlEnvError, RuntimeError):
    """A model's probabilities are NaN, so its completions mean nothing."""


class PromptEncoder:
    """Token ids of messages and completions, by a Hugging Face tokenizer, and texts of ids.

    Recent prompts are cached. opening: the thought that every prompt opens, "" for none; the texts
    of completions start with it. end: ids that end a completion. hidden: ids that texts do not
    show. tool_use: what the chat template does with tools; None if it takes none. Raises BadOption
    for a template that fails.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        has_template = getattr(tokenizer, "chat_template", None) is not None
        self._template = ChatTemplate(tokenizer) if has_template else None
        if self._template is not None and self._template.fault is not None:
            raise BadOption(
                f"the tokenizer's chat template must render a question; it fails: "
                f"{self._template.fault}. Fix: repair chat_template in the model's folder"
            )
        self.opening = self._template.opening if self._template else ""
        self.tool_use: ToolUse | None = self._template.tool_use if self._template else None
        end = tokenizer.eos_token_id
        of_turn = self._template.turn_end if self._template else ()
        self.end: tuple[int, ...] = of_turn or (() if end is None else (end,))
        self.ends = {*self.end[-1:], *(self.tool_use.end[-1:] if self.tool_use else ())}
        self.hidden = hidden_ids(tokenizer) | self.ends
        shown = self.tool_use.style.tokens if self.tool_use else ()
        self._shown_in_calls = {tokenizer.convert_tokens_to_ids(token) for token in shown}
        self._spelled = SpelledTokens(tokenizer, self.hidden)
        self._spelled_in_calls = SpelledTokens(tokenizer, self.hidden - self._shown_in_calls)
        self.closing: list[int] = tokenizer(f"{CLOSE}\n", add_special_tokens=False)["input_ids"]
        self._encoded: OrderedDict[MessageKey, list[int]] = OrderedDict()

    def encode_many(
        self,
        batch: Sequence[Messages],
        prefill: str = "",
        tools: Tools = (),
        turns: Sequence[Sequence[Ids]] = (),
    ) -> list[list[int]]:
        """Each prompt's token ids, by the tokenizer's chat template if it has one, then prefill.

        Without a template the contents are joined without a separator, after a beginning-of-text
        token if the tokenizer adds one. Equal messages are encoded once. Raises BadOption if the
        template refuses them. tools: in native form, for the template. turns: for each prompt the
        sampled ids of its last assistant messages (``Sampling.turns``): these stay as they are, and
        only what the template adds after them is encoded.
        """
        written = self._prefilled(prefill)
        heads = [
            messages[: own[0]] if (own := _own_places(messages, sampled)) else messages
            for messages, sampled in zip(batch, turns or [()] * len(batch), strict=True)
        ]
        prompts = self._remembered(heads, tools, written)
        for row, sampled in enumerate(turns):
            if sampled:
                prompts[row] = self._grown(prompts[row], batch[row], sampled, tools, written)
        while len(self._encoded) > _REMEMBERED_PROMPTS:
            self._encoded.popitem(last=False)
        return prompts

    def _remembered(
        self, batch: Sequence[Messages], tools: Tools, written: Ids = ()
    ) -> list[list[int]]:
        """The prompts, rendered once each, with what is written of their completions."""
        keys = [_key(messages, tools) for messages in batch]
        by_key = dict(zip(keys, batch, strict=True))
        new = [key for key in by_key if key not in self._encoded]
        if new:
            rows = self._encode([by_key[key] for key in new], tools)
            self._encoded.update(zip(new, rows, strict=True))
        prompts = [self._encoded[key] for key in keys]
        return [[*prompt, *written] for prompt in prompts] if written else prompts

    def _grown(
        self, head: Ids, messages: Messages, turns: Sequence[Ids], tools: Tools, written: Ids
    ) -> list[int]:
        """A prompt whose last assistant messages are the sampled ids.

        After each comes what the template adds: the turn's end unless it was sampled, the answer,
        and the beginning of the next turn.
        """
        places, ids = _own_places(messages, turns), list(head)
        for place, following, sampled in zip(
            places, [*places[1:], len(messages)], turns, strict=True
        ):
            added = self._between(messages[:following], place, tools)
            if added is None:  # the template does not show the turn
                return self._remembered([messages], tools, written)[0]
            ids += [*sampled, *self._rest(added, sampled), *written]
        return ids

    def _between(self, messages: Messages, place: int, tools: Tools) -> list[int] | None:
        """The ids of what the template adds after the turn at ``place``, up to the next prompt."""
        key = _key(messages, tools, place)
        if key not in self._encoded:
            if self._template is None:
                (ids,) = self._spelled.encode([_joined(messages[place + 1 :])])
                added: list[int] | None = ids
            else:
                added = self._template.between(messages, place, tools)
            if added is None:
                return None
            self._encoded[key] = added
        return self._encoded[key]

    def _rest(self, added: Ids, sampled: Ids) -> Ids:
        """What a template adds after a turn, without the turn's end if one was sampled."""
        end = next((place for place, token in enumerate(added) if token in self.hidden), None)
        if end is None or not sampled or sampled[-1] not in {*self.ends, added[end]}:
            return added
        return added[end + 1 :]

    def _prefilled(self, prefill: str) -> list[int]:
        """The ids of a prefill, without the thought that the prompt opens."""
        if not prefill:
            return []
        written = self._written(prefill).removeprefix(self.opening)
        ids: list[int] = self._tokenizer(written, add_special_tokens=False)["input_ids"]
        return ids

    def native(self, sampling: Sampling) -> Sampling:
        """The same, with the end of a call among the stop strings if there are native tools."""
        if not sampling.tools or sampling.stop or self.tool_use is None:
            return sampling
        return replace(sampling, stop=self.tool_use.style.stop)

    def write_call(self, call: NamedCall, tools: Tools) -> str:
        """A call as the chat template writes it, for ``encode_completions``."""
        assert self._template is not None, "only templates take tools"
        return self._template.write_call(call, tools)

    def decode(self, ids: Sequence[int], prefill: str = "", calls: bool = False) -> str:
        """The text of sampled ids, after what the prompt has written of it.

        calls: with the special tokens that belong to tool calls.
        """
        hidden = self.hidden - self._shown_in_calls if calls else self.hidden
        shown = [token for token in ids if token not in hidden]
        return self._written(prefill) + str(self._tokenizer.decode(shown))

    def _written(self, prefill: str) -> str:
        """The beginning of a completion's text: the thought that is opened once, and prefill."""
        if self.opening:
            prefill = prefill.removeprefix(OPEN).lstrip("\n")
        return self.opening + prefill

    def encode_completions(
        self,
        texts: Sequence[str],
        stop: Sequence[str] = (),
        prefill: str = "",
        calls: bool = False,
    ) -> tuple[tuple[int, ...], ...]:
        """Token ids of completions as they would be sampled, to imitate.

        They continue what the prompt has written of them. They end as the template ends a turn,
        unless one of the stop strings ends the text. calls: texts end with a call as ``write_call``
        writes it.
        """
        end = self.end
        if calls and self.tool_use is not None:
            stop, end = self.tool_use.style.stop, self.tool_use.end
            texts = [self.tool_use.style.write_thought(text) for text in texts]
        continued = [_continued(text, self._written(prefill)) for text in texts]
        spelled = self._spelled_in_calls if calls else self._spelled
        return tuple(
            tuple(row) if text.endswith(tuple(stop)) else (*row, *end)
            for row, text in zip(spelled.encode(continued), texts, strict=True)
        )

    def generation(
        self,
        prompt: Sequence[int],
        ids: tuple[int, ...],
        logprobs: tuple[float, ...],
        finish_reason: FinishReason,
        sampling: Sampling,
        forced: tuple[int, int] = (0, 0),
    ) -> Generation:
        """The generation of sampled ids; it is cut if the engine was not given the stop strings.

        Native calls are in canonical form in its text. forced: see ``Generation``.
        """
        decode = partial(self.decode, prefill=sampling.prefill, calls=bool(sampling.tools))
        text = decode(ids)
        if sampling.thoughts and find_stop(text, sampling.stop) is not None:
            kept = tokens_to_stop(ids, sampling.stop, decode)
            ids, logprobs, finish_reason = ids[:kept], logprobs[:kept], "stop"
            text = decode(ids)
        made = make_generation(text, prompt, ids, logprobs, finish_reason, sampling.stop)
        if any(forced):
            made = replace(made, forced=forced)
        if not sampling.tools or self.tool_use is None:
            return made
        return replace(made, text=self.tool_use.style.canonical(made.text, sampling.tools))

    def _encode(self, batch: Sequence[Messages], tools: Tools) -> list[list[int]]:
        if self._template is None:
            if any(messages[0]["role"] == "system" for messages in batch):
                _warn_of_joined_messages()
            first = self._first_ids()
            return [[*first, *row] for row in self._spelled.encode(map(_joined, batch))]
        try:
            return self._template.encode(batch, tools)
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


@cache
def _warn_of_joined_messages() -> None:
    """Logs it once in a process: a chat model without its template writes nonsense."""
    logging.getLogger(__name__).warning(
        "the tokenizer has no chat template, so the parts of a prompt are joined without"
        " separators. Fix: choose an instruct model; for a model from scratch, give the environment"
        " style=PromptStyle.bare()"
    )


def _joined(messages: Messages) -> str:
    """The contents, one after the other, as models without a template see them."""
    return "".join(message["content"] for message in messages)


def _key(messages: Messages, tools: Tools, place: int = -1) -> MessageKey:
    return tuple([_message_key(message) for message in messages]), tools, place


def _message_key(message: Message) -> tuple[str, ...]:
    if message.keys() == _PLAIN_KEYS:
        return message["role"], message["content"]
    return message["role"], message["content"], json.dumps(message)


def _own_places(messages: Messages, turns: Sequence[Ids]) -> list[int]:
    """The places of the assistant's last messages, one for each turn."""
    places = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    return places[len(places) - len(turns) :] if turns else []


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

"""What a tokenizer's chat template does, found by rendering small conversations with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from srl_env.text.format import CLOSE, OPEN
from srl_env.text.tools import CLOSE_CALL, OPEN_CALL

Chat = Sequence[tuple[str, str]]
"""(role, content) of each message."""

KEPT = frozenset({OPEN, CLOSE, OPEN_CALL, CLOSE_CALL})
"""Tokens that belong to a completion's text, even if a tokenizer calls them special."""

_ARGUMENTS = "chat_template_kwargs"
_PROBE = "A question."


def set_arguments(tokenizer: Any, arguments: Mapping[str, Any] | None) -> None:
    """Sets further arguments of the template, such as enable_thinking; None leaves them.

    The tokenizer keeps them, also when it is saved, so that every later use renders the same text.
    """
    if arguments is not None:
        tokenizer.init_kwargs[_ARGUMENTS] = dict(arguments)


class ChatTemplate:
    """The chat template of a Hugging Face tokenizer that has one."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, chats: Sequence[Chat]) -> list[list[int]]:
        """Prompts that ask for the assistant's turn. The template may raise anything."""
        rows: list[list[int]] = self._applied([self._messages(chat) for chat in chats], True)
        return rows

    @cached_property
    def opening(self) -> str:
        """The opened thought at the end of a prompt, such as "<think>\\n"; "" if there is none."""
        found = re.search(rf"{OPEN}\s*$", self._rendered([("user", _PROBE)], prompt=True) or "")
        return found.group() if found else ""

    @cached_property
    def takes_system(self) -> bool:
        """Whether system messages are shown. True if no message is, as that is another error."""
        text = self._rendered([("system", "A task."), ("user", _PROBE)])
        return "A task." in (text or "") or self._rendered([("user", _PROBE)]) is None

    @cached_property
    def turn_end(self) -> tuple[int, ...]:
        """The ids that end the assistant's turn, the last one a special token; () if none does."""
        answer = "An answer."
        text = self._rendered([("user", _PROBE), ("assistant", answer)]) or ""
        _, shown, after = text.rpartition(answer)
        if not shown:
            return ()
        ids = list(self._tokenizer(after, add_special_tokens=False)["input_ids"])
        special = special_ids(self._tokenizer)
        place = next((place for place, token in enumerate(ids) if token in special), None)
        if place is None or self._tokenizer.decode(ids[:place]).strip():
            return ()
        return tuple(ids[: place + 1])

    def _messages(self, chat: Chat) -> list[dict[str, str]]:
        """The chat; without a system role its text goes in front of the first user message."""
        parts = list(chat)
        if len(parts) > 1 and parts[0][0] == "system" and not self.takes_system:
            (_, system), (role, content) = parts[:2]
            parts[:2] = [(role, f"{system}\n\n{content}")]
        return [{"role": role, "content": content} for role, content in parts]

    def _rendered(self, chat: Chat, prompt: bool = False) -> str | None:
        """The text of a chat; None if the template refuses it."""
        messages = [{"role": role, "content": content} for role, content in chat]
        try:
            return str(self._applied(messages, prompt, tokenize=False))
        except Exception:  # noqa: BLE001  # templates are programs
            return None

    def _applied(self, chats: Any, prompt: bool, tokenize: bool = True) -> Any:
        return self._tokenizer.apply_chat_template(
            chats,
            add_generation_prompt=prompt,
            tokenize=tokenize,
            return_dict=False,
            **getattr(self._tokenizer, "init_kwargs", {}).get(_ARGUMENTS, {}),
        )


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of all special tokens, also of those that have no role."""
    return frozenset(_special(tokenizer))


def hidden_ids(tokenizer: Any) -> frozenset[int]:
    """Special tokens that a completion's text does not show: all but think and tool-call tags."""
    kept = {tokenizer.convert_tokens_to_ids(tag) for tag in KEPT} - {tokenizer.unk_token_id}
    return special_ids(tokenizer) - kept


def _special(tokenizer: Any) -> Iterator[int]:
    yield from tokenizer.all_special_ids
    added = getattr(tokenizer, "added_tokens_decoder", {})
    yield from (number for number, token in added.items() if token.special)

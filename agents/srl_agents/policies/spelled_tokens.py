"""Texts that spell special tokens, encoded as text.

A tokenizer reads ``<|im_end|>`` as the token that ends a turn, wherever it stands. Problems,
observations and what a policy wrote are data: what they spell stays text. A mark is put into each
spelled token, the text is rendered with it, and the parts between marks are encoded one by one.

What still becomes a token: think and tool-call tags (``KEPT``), which formats ask for; tokens that
the tokenizer does not call special; special tokens of one character, which are ordinary text too;
and a spelling that a tokenizer recognises only after it has normalised the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property
from itertools import chain, count
from typing import Any

from srl_env.text.prompt import Message, MessageCall, Messages


class SpelledTokens:
    """How special tokens are spelled, and texts encoded without them."""

    def __init__(self, tokenizer: Any, ids: Iterable[int]) -> None:
        """ids: of the special tokens that a text cannot spell."""
        self._tokenizer = tokenizer
        names = sorted({str(tokenizer.convert_ids_to_tokens(number)) for number in ids})
        self._pattern = re.compile(  # the first character of each, where the others follow
            "|".join(f"{re.escape(n[0])}(?={re.escape(n[1:])})" for n in names if len(n) > 1)
            or r"(?!)"
        )
        self._names = names

    def marked(self, chat: Messages) -> tuple[Messages, str]:
        """The chat with a mark in each token that a message spells, and the mark.

        The chat itself and "" where nothing is spelled. System messages are the environment's own.
        """
        data = [message for message in chat if message["role"] != "system"]
        if not any(self._pattern.search(text) for message in data for text in _texts(message)):
            return chat, ""
        mark = unused(chat)
        return [m if m["role"] == "system" else self._marked(m, mark) for m in chat], mark

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of texts, with none of the tokens that they spell."""
        rows = list(texts)
        if not any(map(self._pattern.search, rows)):
            return self._ids(rows)
        mark = unused(rows)
        return [self.encode_marked(self._with_marks(text, mark), mark) for text in rows]

    def encode_marked(self, text: str, mark: str) -> list[int]:
        """The ids of a text without its marks, each part between them encoded for itself."""
        first, *rest = text.split(mark) if mark else [text]
        # After a special token, no tokenizer takes a part for the beginning of a text.
        begin, *rows = self._ids([first, *(self._anchor + part for part in rest)])
        skip = bool(self._anchor)
        return [*begin, *chain.from_iterable(row[skip:] for row in rows)]

    @cached_property
    def _anchor(self) -> str:
        """A special token's text; "" if none is one token."""
        return next((name for name in self._names if len(self._ids([name])[0]) == 1), "")

    def _ids(self, texts: list[str]) -> list[list[int]]:
        rows: list[list[int]] = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return rows

    def _marked(self, message: Message, mark: str) -> Message:
        changed: Message = {**message, "content": self._with_marks(message["content"], mark)}
        if "tool_calls" in message:
            changed["tool_calls"] = [
                {**call, "function": self._function(call, mark)} for call in message["tool_calls"]
            ]
        return changed

    def _function(self, call: MessageCall, mark: str) -> dict[str, Any]:
        arguments = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        return {**call["function"], "arguments": json.loads(self._with_marks(arguments, mark))}

    def _with_marks(self, text: str, mark: str) -> str:
        return self._pattern.sub(rf"\g<0>{mark}", text)


def unused(data: Any) -> str:
    """A mark that is in none of the texts."""
    text = json.dumps(list(data))
    return next(mark for mark in (f"mark{number}mark" for number in count()) if mark not in text)


def _texts(message: Message) -> Iterable[str]:
    yield message["content"]
    for call in message.get("tool_calls", ()):
        yield json.dumps(call["function"]["arguments"], ensure_ascii=False)

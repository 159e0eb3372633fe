"""Where completions end: stop tokens, and stop strings in the text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from srl_env.text.stops import find_stop


class Stops:
    """Which completions a new token ends, for one set of stop tokens and strings.

    A string may end in the middle of a token, or with the bytes of a character spread over tokens.
    ``srl_env.text.stops`` says where in the decoded text it counts. Decoding is expensive, so only
    tokens whose text could end a string cause it.
    """

    def __init__(
        self,
        tokens: Collection[int],
        strings: Sequence[str],
        texts: TokenTexts,
        written: str = "",
    ) -> None:
        """tokens: ids that end a completion. texts: the tokenizer's, kept between calls.

        written: what the prompt has written of every completion's text.
        """
        self._written = written
        self._strings = [string for string in strings if string]
        self._texts = texts
        self._tail_tokens = max(
            (len(s.encode("utf-8", "replace")) for s in self._strings), default=0
        )
        size = texts.size
        self._ends = torch.zeros(size, dtype=torch.bool)
        self._ends[[token for token in tokens if 0 <= token < size]] = True
        self._may_end = texts.could_end(self._strings)

    def ended(self, new: Tensor, written: Tensor) -> Tensor:
        """(rows,) bool on the CPU: the rows that end with their newest token.

        new: (rows,) their newest tokens; written: (rows, made) all their tokens, both CPU.
        """
        ends = self._ends[new]
        if not self._strings:
            return ends
        for row in (self._may_end[new] & ~ends).nonzero()[:, 0].tolist():
            ids = written[row].tolist()
            ends[row] = self._found(ids)
        return ends

    def _found(self, ids: list[int]) -> bool:
        tail = self._texts.tail(ids, self._tail_tokens)
        if not any(string in tail for string in self._strings):
            return False
        return find_stop(self._written + self._texts.whole(ids), self._strings) is not None


class TokenTexts:
    """The text of each token of a tokenizer, made once on first use."""

    def __init__(
        self,
        tokenizer: Any,
        size: int,
        hidden: Collection[int] | None = None,
    ) -> None:
        """size: of the model's vocabulary, which may be larger than the tokenizer's.

        hidden: ids without text; None for special tokens.
        """
        self.size = size
        self._tokenizer = tokenizer
        self._hidden = frozenset(tokenizer.all_special_ids if hidden is None else hidden)
        self._texts: list[str] | None = None
        self._by_ending: dict[str, Tensor] = {}

    def tail(self, ids: Sequence[int], tokens: int) -> str:
        """The text of the last ``tokens`` ids and a few more, without hidden ones."""
        plain = (token for token in reversed(ids) if token not in self._hidden)
        last = list(islice(plain, tokens + 4))[::-1]
        text: str = self._tokenizer.decode(last)
        return text

    def whole(self, ids: Sequence[int]) -> str:
        """The text of all ids, without hidden ones."""
        text: str = self._tokenizer.decode([token for token in ids if token not in self._hidden])
        return text

    def could_end(self, strings: Sequence[str]) -> Tensor:
        """(size,) bool: tokens whose text may hold the last character of a string."""
        could = torch.zeros(self.size, dtype=torch.bool)
        for last in {string[-1] for string in strings}:
            if last not in self._by_ending:
                self._by_ending[last] = self._with(last)
            could |= self._by_ending[last]
        return could

    def _with(self, character: str) -> Tensor:
        """Tokens with that character, or with part of the bytes of one outside ASCII."""
        signs = {character} if character.isascii() else {character, "\ufffd"}
        return torch.tensor([any(sign in text for sign in signs) for text in self._all_texts()])

    def _all_texts(self) -> list[str]:
        """The text of each token after a letter, where tokenizers keep its leading space."""
        if self._texts is None:
            anchor = self._anchor()
            known = min(self.size, len(self._tokenizer))
            texts = self._tokenizer.batch_decode([[*anchor, token] for token in range(known)])
            skip = len(self._tokenizer.decode(anchor)) if anchor else 0
            self._texts = [text[skip:] for text in texts] + [""] * (self.size - known)
        return self._texts

    def _anchor(self) -> list[int]:
        """Ids of a letter; [] if the tokenizer has none."""
        for letter in ("a", "0", "x"):
            ids: list[int] = self._tokenizer.encode(letter, add_special_tokens=False)
            if ids and self._tokenizer.decode(ids) == letter:
                return ids
        return []

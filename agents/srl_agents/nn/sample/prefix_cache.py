"""Keys, values and convolution inputs of earlier prompts, by token ids.

The prompt of the next step mostly begins like an earlier one: the problem and the solution so
far. A ``PrefixCache`` finds the longest known beginning of a prompt, so that only the rest is
computed. It forgets the oldest prompts beyond its size. Clear it when the weights change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

_BLOCK_TOKENS = 8

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Prefilled:
    """P computed prompts (prefixes, where several share one), padded on the right to L tokens.

    prompts: their ids. layers: for each layer keys and values, (key heads, P, L, d) each, or
    the inputs of a short convolution, (1, P, L, hidden). The padding is finite and meaningless.
    """

    prompts: tuple[Ids, ...]
    layers: tuple[tuple[Tensor, ...], ...]

    @property
    def size_bytes(self) -> int:
        """Memory of all tensors."""
        return sum(t.numel() * t.element_size() for layer in self.layers for t in layer)


@dataclass(frozen=True, slots=True)
class CachedPrefix:
    """The first ``length`` tokens of row ``row`` of ``source``."""

    source: Prefilled
    row: int
    length: int


class PrefixCache:
    """The prompts of the last calls, within ``limit_bytes``."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._held: deque[Prefilled] = deque()
        # By the hash of a prompt's whole blocks, 0 for none, and the tokens after them.
        self._index: dict[tuple[int, Ids], CachedPrefix] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._index.clear()

    def add(self, prefilled: Prefilled) -> None:
        """Remember these prompts; forget the oldest that no longer fit."""
        if prefilled.size_bytes > self.limit_bytes:
            return
        self._held.append(prefilled)
        self._register(prefilled)
        if self._over_limit():
            while self._over_limit():
                self._held.popleft()
            self._index.clear()
            for held in self._held:
                self._register(held)

    def _over_limit(self) -> bool:
        return sum(held.size_bytes for held in self._held) > self.limit_bytes

    def find(self, prompt: Ids, below: int) -> CachedPrefix | None:
        """The longest known beginning of a prompt that has less than ``below`` tokens."""
        best, blocks, chain = None, 0, 0
        for value in _chain(prompt):
            found = self._index.get((value, ()))
            if found is None:
                break
            best, blocks, chain = found, blocks + 1, value
        begin = blocks * _BLOCK_TOKENS
        for end in range(min(len(prompt), begin + _BLOCK_TOKENS - 1), begin, -1):
            found = self._index.get((chain, prompt[begin:end]))
            if found is not None:
                best = found
                break
        if best is None:
            return None
        length = _common(best.source.prompts[best.row], prompt)
        length = min(length, below - 1)
        return CachedPrefix(best.source, best.row, length) if length else None

    def _register(self, prefilled: Prefilled) -> None:
        for row, prompt in enumerate(prefilled.prompts):
            length = value = 0
            for value in _chain(prompt):
                length += _BLOCK_TOKENS
                self._index[value, ()] = CachedPrefix(prefilled, row, length)
            if tail := prompt[length:]:
                self._index[value, tail] = CachedPrefix(prefilled, row, len(prompt))


def _chain(prompt: Ids) -> Iterator[int]:
    """A hash of the prompt's first 1, 2 … whole blocks."""
    value = 0
    for end in range(_BLOCK_TOKENS, len(prompt) + 1, _BLOCK_TOKENS):
        value = hash((value, prompt[end - _BLOCK_TOKENS : end]))
        yield value


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences begin with in common."""
    for i, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return i
    return min(len(first), len(second))

"""Texts as numbers: a state and its candidate steps as vectors for a small network.

An encoder sees the state and the candidates together, so that it can describe how they fit.
Encoders are frozen dataclasses of plain values, so that they can be saved beside an agent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from srl_env.errors import BadOption
from srl_env.text.unicode import utf8_safe

Floats: TypeAlias = NDArray[np.float32]


class Encoder(Protocol):
    """Turns a state and candidate steps into numbers between −1 and 1."""

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers per state, and per candidate with how it fits the state."""
        ...

    def encode(self, state: str, candidates: Sequence[str]) -> tuple[Floats, Floats]:
        """(sizes[0],) and (candidates, sizes[1])."""
        ...


@dataclass(frozen=True)
class HashedNgrams:
    """Counts of character n-grams, hashed with signs into ``size`` numbers and scaled to length 1.

    For each n-gram length and for words, a candidate also has the fraction of its own that occur
    in the state, and the fraction that occur in the state's last line. Hashing loses which
    n-grams match; these fractions keep it. Needs no training and no package.
    """

    size: int = 256
    lengths: tuple[int, ...] = (1, 2, 3, 4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lengths", tuple(self.lengths))
        if self.size < 1 or not self.lengths or min(self.lengths) < 1:
            raise BadOption(
                "size and lengths of n-grams must be at least 1; "
                f"got size {self.size}, lengths {self.lengths}"
            )

    @property
    def sizes(self) -> tuple[int, int]:
        """``size``, and ``size`` + 2 (number of lengths + 1)."""
        return self.size, self.size + 2 * (len(self.lengths) + 1)

    def encode(self, state: str, candidates: Sequence[str]) -> tuple[Floats, Floats]:
        """Hashed n-grams of the state, and of each candidate with its fractions."""
        wholes = [self._parts(state), self._parts(state.rpartition("\n")[2])]
        rows = np.zeros((len(candidates), self.sizes[1]), np.float32)
        for row, candidate in zip(rows, candidates, strict=True):
            row[: self.size] = self._hashed(candidate)
            own = self._parts(candidate)
            row[self.size :] = [
                len(mine & theirs) / max(1, len(mine))
                for whole in wholes
                for mine, theirs in zip(own, whole, strict=True)
            ]
        return self._hashed(state), rows

    def _parts(self, text: str) -> list[set[str]]:
        """The n-grams of each length, and the words."""
        grams = [{text[i : i + n] for i in range(len(text) - n + 1)} for n in self.lengths]
        return [*grams, set(re.findall(r"\w+", text))]

    def _hashed(self, text: str) -> Floats:
        """(size,): the signed counts, scaled to length 1 (0 for an empty text)."""
        keys = _mixed(_ngram_keys(text, self.lengths))
        signs = np.where(keys >> np.uint64(63), 1.0, -1.0)
        found = np.bincount((keys % np.uint64(self.size)).astype(np.intp), signs, self.size)
        length = math.sqrt(float(found @ found))
        return (found / length if length else found).astype(np.float32)


@dataclass(frozen=True)
class SentenceEncoder:
    """Embeddings of a sentence-transformers model, and the cosine of candidate and state.

    model: a name on the hub or a folder. size: of its embeddings. loaded: the model itself,
    used instead of ``model``; any object with its ``encode``.
    """

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    size: int = 384
    loaded: Any = field(default=None, repr=False, compare=False)

    @property
    def sizes(self) -> tuple[int, int]:
        """``size``, and ``size`` + 1."""
        return self.size, self.size + 1

    def encode(self, state: str, candidates: Sequence[str]) -> tuple[Floats, Floats]:
        """Embeddings of length 1, and for candidates the cosine; BadOption for another size."""
        found = np.array(self._model.encode([state, *candidates]), np.float32)
        if found.shape != (1 + len(candidates), self.size):
            raise BadOption(
                f"{self.model!r} gives embeddings of shape {found.shape[1:]}; "
                f"give SentenceEncoder size={found.shape[-1]} instead of {self.size}"
            )
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
        return found[0], np.hstack([found[1:], (found[1:] @ found[0])[:, None]])

    @cached_property
    def _model(self) -> Any:
        if self.loaded is not None:
            return self.loaded
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            raise BadOption(
                "sentence-transformers is not installed. Fix: "
                "pip install sentence-transformers, or use HashedNgrams()"
            ) from None
        return SentenceTransformer(self.model)


def _ngram_keys(text: str, lengths: Sequence[int]) -> NDArray[np.uint64]:
    """One number for each n-gram of the text's bytes, one length after the other."""
    codes = np.frombuffer(utf8_safe(text).encode(), np.uint8).astype(np.uint64) + np.uint64(1)
    keys, found = codes[:0], []
    for n in range(1, max(lengths) + 1):
        keys = codes if n == 1 else keys[:-1] * np.uint64(1_000_003) + codes[n - 1 :]
        if n in lengths:
            found.append(keys)
    return np.concatenate(found)


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The keys with their bits spread (the finaliser of MurmurHash3, wrapping on purpose)."""
    keys = (keys ^ (keys >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    keys = (keys ^ (keys >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return keys ^ (keys >> np.uint64(33))

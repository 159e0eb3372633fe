"""Problems that occur twice, exactly or nearly.

Two prompts are the same if their words are, apart from case and spaces. They are nearly the same
if their shingles (three words in a row; a punctuation mark is a word) have a Jaccard similarity of
at least ``NEAR``. Candidates are found by MinHash with banding (Broder, "On the resemblance and
containment of documents", 1997), which misses one pair in six at the limit and one in a hundred
at 0.9. They are then compared exactly; in a cluster, each with the first and with the one before.
Two problems that differ in some numbers are different problems, and far below the limit.

Memory holds about 100 bytes per problem: hashes, and where it stands. The words of the prompts go
to a temporary file.
"""

from __future__ import annotations

import os
import re
import tempfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from types import TracebackType
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from srl_env.data.splits import text_hash

NEAR = 0.8
BANDS, BAND_ROWS = 6, 6
SHINGLE = 3
MAX_WORDS = 2000  # of a prompt, that are looked at
_BLOCK = 256
_MOST_COMPARED = 4

_WORD = re.compile(r"\w+|[^\w\s]")


class Pair(NamedTuple):
    """A problem and an earlier one that it repeats; each is (file, number).

    kind: "id", the ids are equal; "prompt", the prompts are; "near", nearly. similarity: of the
    prompts, 1 for equal ones. across: whether the two are in different splits.
    """

    kind: Literal["id", "prompt", "near"]
    later: tuple[int, int]
    earlier: tuple[int, int]
    similarity: float
    across: bool


class Duplicates:
    """Takes problems, then finds those that occur twice. A context manager."""

    def __init__(self, near: bool = True) -> None:
        """near: whether to look for nearly equal prompts too, which takes most of the time."""
        self._near = near
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self._begins = array("q", [0])  # of each problem's words in the file
        self._files, self._numbers, self._split_of = array("i"), array("q"), array("i")
        self._splits: list[str] = []
        self._ids, self._prompts = array("Q"), array("Q")  # hashes
        self._bands = [np.empty((BANDS, 0), np.uint64)]
        self._block: list[list[int]] = []

    def __enter__(self) -> Duplicates:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._words.close()

    def add(self, file: int, number: int, split: str, problem_id: str, prompt: str) -> None:
        """Adds a problem and where it stands."""
        if split not in self._splits:
            self._splits.append(split)
        words = _WORD.findall(prompt.casefold())
        text = " ".join(words[:MAX_WORDS]).encode("utf-8", "surrogatepass")
        self._words.write(text)
        self._begins.append(self._begins[-1] + len(text))
        self._files.append(file)
        self._numbers.append(number)
        self._split_of.append(self._splits.index(split))
        self._ids.append(text_hash(problem_id))
        self._prompts.append(text_hash(" ".join(words)))
        if self._near:
            self._block.append([_word_hash(word) for word in words[:MAX_WORDS]])
            if len(self._block) == _BLOCK:
                self._add_bands()

    def find(self) -> Iterator[Pair]:
        """Every repetition: one for each problem and kind, the kinds one after the other."""
        yield from self._equal("id", self._ids)
        yield from self._equal("prompt", self._prompts)
        if self._near:
            self._words.flush()
            yield from self._nearly_equal()

    def _equal(self, kind: Literal["id", "prompt"], hashes: array[int]) -> Iterator[Pair]:
        """Each problem of a group after its first, paired with one of another split if any."""
        for group in _groups(np.array(hashes, np.uint64)):
            firsts = dict[int, int]()  # by split
            for index in group:
                split = self._split_of[index]
                others = [first for other, first in firsts.items() if other != split]
                if firsts:
                    yield self._pair(kind, index, [*others, *firsts.values()][0], 1.0)
                firsts.setdefault(split, index)

    def _nearly_equal(self) -> Iterator[Pair]:
        if self._block:
            self._add_bands()
        compared = np.zeros(len(self._ids), np.uint8)
        for group in chain.from_iterable(map(_groups, np.concatenate(self._bands, axis=1))):
            for before, index in pairwise(group):
                for earlier in dict.fromkeys((group[0], before)):
                    if compared[index] >= _MOST_COMPARED:
                        break
                    compared[index] += 1
                    if (similarity := self._similarity(index, earlier)) >= NEAR:
                        compared[index] = _MOST_COMPARED
                        yield self._pair("near", index, earlier, similarity)

    def _similarity(self, index: int, earlier: int) -> float:
        """The Jaccard similarity of two prompts; 0 for equal ones, which are found apart."""
        if self._prompts[index] == self._prompts[earlier]:
            return 0.0
        own, other = _shingles(self._text(index)), _shingles(self._text(earlier))
        return len(own & other) / max(1, len(own | other))

    def _text(self, index: int) -> list[bytes]:
        begin, end = self._begins[index : index + 2]
        return os.pread(self._words.fileno(), end - begin, begin).split(b" ")

    def _pair(self, kind: Any, index: int, earlier: int, similarity: float) -> Pair:
        places = [(self._files[i], self._numbers[i]) for i in (index, earlier)]
        across = self._split_of[index] != self._split_of[earlier]
        return Pair(kind, places[0], places[1], similarity, across)

    def _add_bands(self) -> None:
        self._bands.append(_band_keys(_signatures(self._block)))
        self._block = []


def _groups(keys: npt.NDArray[np.uint64]) -> Iterator[list[int]]:
    """The indices of each key that occurs more than once, in ascending order. keys: (N,)."""
    order = np.argsort(keys, kind="stable")
    cuts = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    bounds = np.concatenate(([0], cuts, [len(keys)]))
    for group in np.flatnonzero(np.diff(bounds) > 1):
        yield order[bounds[group] : bounds[group + 1]].tolist()


# -- hashing ----------------------------------------------------------------------------------


def _signatures(block: Sequence[Sequence[int]]) -> npt.NDArray[np.uint32]:
    """(K, B): the MinHash signature of each prompt, given as the hashes of its words.

    Shingle hashes are a + k·b in 32 bits for each of K odd k; a and b are halves of one hash.
    """
    padded = [[*words, *[0] * (SHINGLE - len(words))] for words in block]
    sizes = np.array([len(words) for words in padded])
    words = np.fromiter(chain.from_iterable(padded), np.uint64, int(sizes.sum()))
    starts = np.ones(len(words), bool)
    for back in range(1, SHINGLE):
        starts[np.cumsum(sizes) - back] = False  # no shingle starts at a prompt's last words
    count = len(words) - SHINGLE + 1
    shingles = np.zeros(count, np.uint64)
    for i in range(SHINGLE):
        shingles += words[i : count + i] * _WORD_FACTORS[i]
    shingles = shingles[starts[:count]]
    first, second = (shingles >> np.uint64(32)).astype(np.uint32), shingles.astype(np.uint32)
    hashes = _FACTORS[:, None] * second + first  # (K, S)
    begins = np.concatenate(([0], np.cumsum(sizes - SHINGLE + 1)[:-1]))
    return np.minimum.reduceat(hashes, begins, axis=1)


def _band_keys(signatures: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """(BANDS, B): one key for each band."""
    bands = signatures.reshape(BANDS, BAND_ROWS, -1) * _BAND_FACTORS[:, None]
    return np.asarray(bands.sum(axis=1, dtype=np.uint64))


def _odd(count: int, stream: int) -> npt.NDArray[np.uint64]:
    """Odd numbers of 64 bits, always the same ones."""
    rng = np.random.Generator(np.random.PCG64(stream))
    return rng.integers(0, 1 << 63, count, np.uint64) * np.uint64(2) + np.uint64(1)


_WORD_FACTORS, _BAND_FACTORS = _odd(SHINGLE, 1), _odd(BAND_ROWS, 2)
_FACTORS = _odd(BANDS * BAND_ROWS, 3).astype(np.uint32)


@lru_cache(maxsize=1 << 16)
def _word_hash(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


def _shingles(words: list[bytes]) -> set[tuple[bytes, ...]]:
    if len(words) <= SHINGLE:
        return {tuple(words)}
    return set(zip(*(words[i:] for i in range(SHINGLE)), strict=False))

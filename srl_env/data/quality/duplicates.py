"""Problems that are there twice, exactly or nearly, found in bounded memory.

What has to be remembered of each problem (hashes, its words, where it stands) goes to files in a
temporary folder, some hundreds of bytes each beside the text; ``find`` sorts the hashes a part
at a time. So memory does not grow with the number of problems, apart from one byte for each.

The same are prompts whose words are, capitals and spaces apart. Nearly the same are those whose
shingles (three words in a row; a punctuation mark is a word) have a Jaccard similarity of at
least ``NEAR``. Candidates are found by MinHash with banding (Broder, "On the resemblance and
containment of documents", 1997), which misses one pair in six at the limit and one in a hundred
at 0.9, and are then compared exactly; in a cluster, each with the first and with the one before.
Two problems that differ in some numbers are other problems, and far below the limit.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import tempfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

NEAR = 0.8
BANDS, BAND_ROWS = 6, 6
SHINGLE = 3
MAX_WORDS = 2000  # of a prompt, that are looked at
SORTED_AT_ONCE = 1 << 20
_BLOCK, _KEPT_WORDS = 256, 1 << 16
_MOST_COMPARED = 4

_Numbers = npt.NDArray[np.int64]

_WORD = re.compile(r"\w+|[^\w\s]")
_RECORD = np.dtype([("key", np.uint64), ("number", np.int64)])
_PLACE = struct.Struct("<iiqQqq")


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


class _Place(NamedTuple):
    """Where a problem stands, the hash of its prompt's words, and where they are noted."""

    file: int
    split: int
    number: int
    prompt: int
    offset: int
    size: int


class Duplicates:
    """Takes problems, then finds those that are there twice. A context manager."""

    def __init__(self, near: bool = True) -> None:
        """near: whether nearly equal prompts are looked for, too, which takes most of the time."""
        self._near, self._count, self._written = near, 0, 0
        self._splits: list[str] = []
        self._folder = Path(tempfile.mkdtemp(prefix="srl-env-duplicates-"))
        self._words = (self._folder / "words").open("w+b")
        self._places = (self._folder / "places").open("w+b")
        self._ids, self._prompts = self._keys("ids"), self._keys("prompts")
        self._bands = self._keys("bands")
        self._block: list[list[int]] = []
        self._word_hashes = _WordHashes()

    def __enter__(self) -> Duplicates:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for file in (self._words, self._places, *(k.file for k in self._all_keys())):
            file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, file: int, number: int, split: str, problem_id: str, prompt: str) -> None:
        """Notes a problem and where it stands."""
        if split not in self._splits:
            self._splits.append(split)
        words = _WORD.findall(prompt.casefold())
        text = " ".join(words[:MAX_WORDS]).encode("utf-8", "surrogatepass")
        prompt_hash = _hash(" ".join(words))
        place = (file, self._splits.index(split), number, prompt_hash, self._written, len(text))
        self._words.write(text)
        self._written += len(text)
        self._places.write(_PLACE.pack(*place))
        self._ids.add(_hash(problem_id), self._count)
        self._prompts.add(prompt_hash, self._count)
        self._count += 1
        if self._near:
            hashes = self._word_hashes
            self._block.append([hashes[word] for word in words[:MAX_WORDS]])
            if len(self._block) == _BLOCK:
                self._add_bands()

    def find(self) -> Iterator[Pair]:
        """Every repetition: one for each problem and kind, the kinds one after the other."""
        if self._block:
            self._add_bands()
        for file in (self._words, self._places):
            file.flush()
        yield from self._equal("id", self._ids)
        yield from self._equal("prompt", self._prompts)
        if self._near:
            yield from self._nearly_equal()

    def _equal(self, kind: Literal["id", "prompt"], keys: _Keys) -> Iterator[Pair]:
        """Each problem of a group after its first; told of one in another split, if any."""
        for group in keys.groups():
            firsts = dict[int, _Place]()  # by split
            for place in map(self._place, group.tolist()):
                others = [first for split, first in firsts.items() if split != place.split]
                if earlier := next(iter([*others, *firsts.values()]), None):
                    yield _pair(kind, place, earlier, 1.0)
                firsts.setdefault(place.split, place)

    def _nearly_equal(self) -> Iterator[Pair]:
        compared = np.zeros(self._count, np.uint8)
        for group in self._bands.groups():
            first = int(group[0])
            for before, number in zip(group.tolist(), group[1:].tolist(), strict=False):
                for earlier in dict.fromkeys((first, before)):
                    if compared[number] >= _MOST_COMPARED:
                        break
                    compared[number] += 1
                    pair = self._compared(number, earlier)
                    if pair is not None:
                        compared[number] = _MOST_COMPARED
                        yield pair

    def _compared(self, number: int, earlier: int) -> Pair | None:
        """The pair, if the prompts are nearly equal and not equal."""
        places = self._place(number), self._place(earlier)
        if places[0].prompt == places[1].prompt:
            return None
        own, other = (_shingles(self._text(place)) for place in places)
        similarity = len(own & other) / max(1, len(own | other))
        return _pair("near", *places, similarity) if similarity >= NEAR else None

    def _place(self, number: int) -> _Place:
        data = os.pread(self._places.fileno(), _PLACE.size, number * _PLACE.size)
        return _Place(*_PLACE.unpack(data))

    def _text(self, place: _Place) -> list[bytes]:
        return os.pread(self._words.fileno(), place.size, place.offset).split(b" ")

    def _add_bands(self) -> None:
        """Notes the bands of the problems of the block."""
        begin = self._count - len(self._block)
        keys = _band_keys(_signatures(self._block))
        self._bands.add_many(keys.ravel(), np.repeat(np.arange(begin, self._count), BANDS))
        self._block = []

    def _keys(self, name: str) -> _Keys:
        return _Keys((self._folder / name).open("w+b"))

    def _all_keys(self) -> Sequence[_Keys]:
        return self._ids, self._prompts, self._bands


class _Keys:
    """Pairs of key and number, in a file; which numbers have the same key."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self._count = file, 0
        self._keys, self._numbers = array("Q"), array("q")

    def add(self, key: int, number: int) -> None:
        """Notes a key of a number."""
        self._keys.append(key)
        self._numbers.append(number)
        if len(self._keys) == 1 << 14:
            self._flush()

    def add_many(self, keys: npt.NDArray[np.uint64], numbers: npt.NDArray[np.int64]) -> None:
        """Notes a key of each number; both (N,)."""
        records = np.empty(len(keys), _RECORD)
        records["key"], records["number"] = keys, numbers
        self.file.write(records.tobytes())
        self._count += len(records)

    def groups(self) -> Iterator[_Numbers]:
        """The numbers of each key that several have, in ascending order."""
        self._flush()
        parts = 1 + self._count // SORTED_AT_ONCE
        for part in range(parts):
            records = self._part(part, parts)
            records = records[np.lexsort((records["number"], records["key"]))]
            cuts = np.flatnonzero(records["key"][1:] != records["key"][:-1]) + 1
            bounds = np.concatenate(([0], cuts, [len(records)]))
            for group in np.flatnonzero(np.diff(bounds) > 1).tolist():
                yield records["number"][bounds[group] : bounds[group + 1]]

    def _part(self, part: int, parts: int) -> Any:
        """The records whose key belongs to a part."""
        self.file.seek(0)
        found = []
        while data := self.file.read(_RECORD.itemsize * (1 << 16)):
            records = np.frombuffer(data, _RECORD)
            found.append(records[records["key"] % np.uint64(parts) == part])
        return np.concatenate([np.empty(0, _RECORD), *found])

    def _flush(self) -> None:
        self.add_many(np.array(self._keys, np.uint64), np.array(self._numbers, np.int64))
        self._keys, self._numbers = array("Q"), array("q")
        self.file.flush()


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
    """(B, BANDS): one key for each band, different for equal values in different bands."""
    bands = signatures.T.reshape(-1, BANDS, BAND_ROWS) * _BAND_FACTORS
    keys = bands.sum(axis=2, dtype=np.uint64) + np.arange(BANDS, dtype=np.uint64)
    return np.asarray(keys * np.uint64(0x9E3779B97F4A7C15))


def _odd(count: int, stream: int) -> npt.NDArray[np.uint64]:
    """Odd numbers of 64 bits, always the same ones."""
    rng = np.random.Generator(np.random.PCG64(stream))
    return rng.integers(0, 1 << 63, count, np.uint64) * np.uint64(2) + np.uint64(1)


_WORD_FACTORS, _BAND_FACTORS = _odd(SHINGLE, 1), _odd(BAND_ROWS, 2)
_FACTORS = _odd(BANDS * BAND_ROWS, 3).astype(np.uint32)


class _WordHashes(dict[str, int]):
    """The hash of a word; those of the last words are kept."""

    def __missing__(self, word: str) -> int:
        if len(self) == _KEPT_WORDS:
            self.clear()
        self[word] = found = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        return found


def _shingles(words: list[bytes]) -> set[tuple[bytes, ...]]:
    if len(words) <= SHINGLE:
        return {tuple(words)}
    return set(zip(*(words[i:] for i in range(SHINGLE)), strict=False))


def _hash(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _pair(
    kind: Literal["id", "prompt", "near"], later: _Place, earlier: _Place, similarity: float
) -> Pair:
    return Pair(
        kind,
        (later.file, later.number),
        (earlier.file, earlier.number),
        similarity,
        later.split != earlier.split,
    )

"""Random streams made by hashing, so that neighbouring keys share nothing.

Every random choice of this library comes from a generator made here. The global generators of
``random`` and ``numpy`` are neither read nor seeded. Streams are never made as seed + index, as
then seeds 42 and 43 would share all but one of their problems.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray


def stream(*keys: str | int) -> np.random.Generator:
    """The generator of these keys, the same on every machine and in every run.

    Keys are e.g. environment, source and split, seed, episode. Order and type count:
    ("a", "bc"), ("ab", "c") and ("1",), (1,) are different streams. Costs about 5 µs.
    """
    seed: Any = _Hashed(_digest(keys, 32))  # NumPy's stubs forget ISeedSequence
    return np.random.Generator(np.random.PCG64(seed))


def derive_seed(*keys: str | int) -> int:
    """A seed in 0 … 2⁶³−1 made from these keys, for code that takes an integer."""
    return int.from_bytes(_digest(keys, 8), "little") >> 1


def _digest(keys: tuple[str | int, ...], size: int) -> bytes:
    """The hash of the keys, each after its type and length."""
    encoded = b"".join([_encoded(key) for key in keys])
    return hashlib.blake2b(encoded, digest_size=size).digest()


def _encoded(key: str | int) -> bytes:
    if isinstance(key, str):
        data = key.encode("utf-8", "surrogatepass")
        return b"s%d:%b" % (len(data), data)
    digits = str(int(key))
    return f"i{len(digits)}:{digits}".encode()


class _Hashed(ISeedSequence):
    """The hash as the generator's whole seed.

    NumPy's ``SeedSequence`` would hash it again, at four times the cost of all the rest.
    """

    def __init__(self, digest: bytes) -> None:
        self.digest = digest

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        """The first ``n_words`` words of the hash: PCG64 asks for four of 64 bits."""
        return np.frombuffer(self.digest, dtype=dtype, count=n_words)

"""The space of all texts.

Gymnasium's ``Text`` holds its characters one by one. Over all of Unicode it takes seconds to build
and to copy, and prints a million characters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space

from srl_env.errors import BadOption

# The characters of samples: what policies write, plus two-, three- and four-byte characters.
SAMPLE_ALPHABET = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;:!?+-*/=()<>[]{}\\\"'\n\t"
    "äéπ≤∑字🙂"
)
SAMPLE_LENGTH = 32


class AnyText(Space[str]):
    """Every Python string up to ``max_length`` characters, lone surrogates included.

    So nothing that a policy writes is outside the action space. Observations are narrower: always
    valid UTF-8. Samples are short random texts without surrogates.
    """

    def __init__(self, max_length: int | None = None, seed: int | None = None) -> None:
        """max_length: in characters, None for no limit."""
        if max_length is not None and max_length < 0:
            raise BadOption(f"max_length must be at least 0 or None; got {max_length}")
        self.max_length = max_length
        super().__init__(seed=seed)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a text that is not too long."""
        return isinstance(x, str) and (self.max_length is None or len(x) <= self.max_length)

    def sample(self, mask: None = None, probability: None = None) -> str:
        """A random text of at most 32 characters; masks make no sense here (``BadOption``)."""
        if mask is not None or probability is not None:
            raise BadOption("AnyText has no masks. Fix: omit mask and probability")
        longest = SAMPLE_LENGTH if self.max_length is None else min(SAMPLE_LENGTH, self.max_length)
        length = int(self.np_random.integers(longest + 1))
        chosen = self.np_random.integers(len(SAMPLE_ALPHABET), size=length)
        return "".join(SAMPLE_ALPHABET[i] for i in chosen)

    @property
    def is_np_flattenable(self) -> bool:
        """False: texts have no fixed shape."""
        return False

    def to_jsonable(self, sample_n: Any) -> list[str]:
        """The texts as they are."""
        return list(sample_n)

    def from_jsonable(self, sample_n: Any) -> list[str]:
        """The texts as they are."""
        return list(sample_n)

    def __deepcopy__(self, memo: dict[int, Any]) -> AnyText:
        copied = AnyText(self.max_length)
        if self._np_random is not None:
            copied._np_random = np.random.Generator(type(self._np_random.bit_generator)())
            copied._np_random.bit_generator.state = self._np_random.bit_generator.state
        return copied

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText) and other.max_length == self.max_length

    def __hash__(self) -> int:
        return hash((AnyText, self.max_length))

    def __repr__(self) -> str:
        return "AnyText()" if self.max_length is None else f"AnyText({self.max_length})"

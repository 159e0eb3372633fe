"""The space of all texts.

Gymnasium's ``Text`` holds its characters one by one. Over all of Unicode it takes seconds to build
and to copy, and prints a million characters.
"""

from __future__ import annotations

from typing import Any

from gymnasium import Space

from srl_env.errors import BadOption

# The characters of samples: what policies write, plus two-, three- and four-byte characters.
SAMPLE_ALPHABET = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;:!?+-*/=()<>[]{}\\\"'\n\t"
    "äéπ≤∑字🙂"
)
SAMPLE_LENGTH = 32


class AnyText(Space[str]):
    """Every Python string, lone surrogates included.

    So nothing that a policy writes is outside the action space. Observations are narrower: always
    valid UTF-8. Samples are short random texts without surrogates.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed=seed)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a text."""
        return isinstance(x, str)

    def sample(self, mask: None = None, probability: None = None) -> str:
        """A random text of at most 32 characters; masks make no sense here (``BadOption``)."""
        if mask is not None or probability is not None:
            raise BadOption("AnyText has no masks. Fix: omit mask and probability")
        length = int(self.np_random.integers(SAMPLE_LENGTH + 1))
        chosen = self.np_random.integers(len(SAMPLE_ALPHABET), size=length)
        return "".join(SAMPLE_ALPHABET[i] for i in chosen)

    @property
    def is_np_flattenable(self) -> bool:
        """False: texts have no fixed shape."""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText)

    def __hash__(self) -> int:
        return hash(AnyText)

    def __repr__(self) -> str:
        return "AnyText()"

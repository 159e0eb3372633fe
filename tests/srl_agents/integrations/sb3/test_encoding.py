"""Texts as numbers: hashed n-grams by hand, sentence encoders by a stand-in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from srl_agents.integrations import HashedNgrams, SentenceEncoder
from srl_env.errors import BadOption


def test_vectors_have_the_sizes_that_are_announced() -> None:
    encoder = HashedNgrams(size=32, lengths=(1, 2))
    state, rows = encoder.encode("ab", ["a", "b", ""])
    assert encoder.sizes == (32, 32 + 2 * 3)
    assert state.shape == (32,)
    assert rows.shape == (3, 32 + 2 * 3)
    assert state.dtype == rows.dtype == np.float32


def test_shares_say_how_much_of_a_candidate_occurs_in_the_state() -> None:
    encoder = HashedNgrams(size=8, lengths=(1, 2))
    _, rows = encoder.encode("abc x\nb y", ["abz b q"])
    # letters " abqz": " ", a, b of 5; pairs: ab, "b " of 6; words: b of 3
    # last line "b y": " ", b of 5; "b " of 6; b of 3
    assert rows[0, 8:] == pytest.approx([3 / 5, 2 / 6, 1 / 3, 2 / 5, 1 / 6, 1 / 3])


def test_equal_texts_give_equal_vectors_of_length_one_and_others_do_not() -> None:
    encoder = HashedNgrams()
    first, rows = encoder.encode("He has 3 apples", ["He has 3 apples", "He has 8 apples", ""])
    same, other, empty = rows[:, : encoder.size]
    assert np.linalg.norm(first) == pytest.approx(1)
    assert same.tolist() == first.tolist()
    assert 0.3 < float(first @ other) < 0.95
    assert not empty.any()


def test_hashes_are_the_same_in_every_process() -> None:
    state, _ = HashedNgrams(size=16, lengths=(1,)).encode("a", [])
    assert state.tolist() == [1.0 if place == 4 else 0.0 for place in range(16)]


def test_any_text_can_be_encoded() -> None:
    state, rows = HashedNgrams(size=16).encode("\ud800 π ≤ 4 \x00", ["𝔸" * 3, "\udfff"])
    assert np.isfinite(state).all()
    assert np.isfinite(rows).all()


@pytest.mark.parametrize(("size", "lengths"), [(0, (1,)), (8, ()), (8, (0,))])
def test_sizes_that_cannot_be_are_refused(size: int, lengths: tuple[int, ...]) -> None:
    with pytest.raises(BadOption, match="at least 1"):
        HashedNgrams(size, lengths)


class Counts:
    """Stands in for a sentence-transformers model: the counts of a and b."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[text.count("a"), text.count("b")] for text in texts], np.float64)


def test_sentence_embeddings_are_scaled_and_compared_with_the_state() -> None:
    encoder = SentenceEncoder(size=2, loaded=Counts())
    state, rows = encoder.encode("aaabbbb", ["aa", "bb", ""])
    assert state == pytest.approx([0.6, 0.8])
    assert rows == pytest.approx(np.array([[1, 0, 0.6], [0, 1, 0.8], [0, 0, 0]]))
    assert encoder.sizes == (2, 3)


def test_embeddings_of_another_size_are_named() -> None:
    with pytest.raises(BadOption, match="give SentenceEncoder size=2 instead of 384"):
        SentenceEncoder(loaded=Counts()).encode("a", ["b"])


def test_a_missing_sentence_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(BadOption, match="pip install sentence-transformers"):
        SentenceEncoder().encode("a", ["b"])

"""The text space is cheap, and what is emitted can be stored."""

from __future__ import annotations

import copy
import json
import pickle
import time

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srl_env.errors import BadOption
from srl_env.text.spaces import AnyText
from srl_env.text.unicode import utf8_safe

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_every_string_is_a_text(text: str) -> None:
    assert text in AnyText()


@pytest.mark.parametrize("other", [None, 3, b"bytes", ["a"]])
def test_nothing_but_strings_is_a_text(other: object) -> None:
    assert other not in AnyText()


def samples(space: AnyText, seed: int, count: int = 20) -> list[str]:
    space.seed(seed)
    return [space.sample() for _ in range(count)]


def test_samples_repeat_with_their_seed_and_only_then() -> None:
    assert samples(AnyText(), 1) == samples(AnyText(), 1)
    assert samples(AnyText(), 1) != samples(AnyText(), 2)


def test_samples_reach_beyond_ascii_and_are_valid_utf8() -> None:
    text = "".join(samples(AnyText(), 0, 200))
    assert not text.isascii()
    assert text.encode().decode() == text


def test_masks_are_refused() -> None:
    with pytest.raises(BadOption, match="no masks"):
        AnyText().sample(mask=1)  # type: ignore[arg-type]


def test_building_copying_and_printing_are_cheap() -> None:
    start = time.process_time()
    for _ in range(1000):
        repr(copy.deepcopy(AnyText()))
    assert time.process_time() - start < 0.5  # Gymnasium's Text: 3.5 s for one
    assert repr(AnyText()) == "AnyText()"


def test_copies_go_on_with_the_same_samples_and_apart() -> None:
    space = AnyText(seed=3)
    copied, pickled = copy.deepcopy(space), pickle.loads(pickle.dumps(space))
    expected = [space.sample() for _ in range(5)]
    assert [copied.sample() for _ in range(5)] == expected
    assert [pickled.sample() for _ in range(5)] == expected


def test_all_such_spaces_are_equal() -> None:
    assert AnyText() == AnyText(seed=1)
    assert AnyText() != gymnasium.spaces.Text(3)
    assert len({AnyText(), AnyText(seed=1)}) == 1


def test_samples_go_through_json() -> None:
    space = AnyText()
    texts = samples(space, 0)
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(texts)))) == texts


def test_gymnasium_knows_that_it_cannot_be_flattened() -> None:
    assert AnyText().is_np_flattenable is False
    assert isinstance(AnyText(), gymnasium.Space)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain", "plain"),
        ("π ≤ 4 🙂", "π ≤ 4 🙂"),
        ("a\ud800b", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("\ud83d\ude42", "🙂"),  # a surrogate pair is a character written in two halves
        ("é\ud83d\ud83d\ude42", "é\ufffd🙂"),
    ],
)
def test_lone_surrogates_are_replaced(text: str, safe: str) -> None:
    assert utf8_safe(text) == safe


@given(ANY_TEXT)
def test_safe_texts_are_utf8_and_stay_as_they_are(text: str) -> None:
    safe = utf8_safe(text)
    assert safe.encode().decode() == safe == utf8_safe(safe)

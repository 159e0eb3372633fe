import difflib
import random
import time

import cydifflib
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from srl_env.rewards import matched_blocks, similarity, step_similarity
from srl_env.rewards.similarity import matched_characters

any_text = st.text(st.characters(exclude_categories=()), max_size=120)
repetitive = st.text("ab c", max_size=120)
SENTENCE = "so the sum of two odd numbers is even and 12 + 7 = 19 which we carry over then"


def difflib_ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a.strip(), b.strip(), autojunk=False).ratio()


def prose(length: int, rng: random.Random) -> str:
    return " ".join(rng.choices(SENTENCE.split(), k=length))[:length]


def corrupted(text: str, share: float, rng: random.Random) -> str:
    return "".join(rng.choice("abc 123") if rng.random() < share else c for c in text)


@pytest.mark.parametrize(
    ("action", "expert", "expected"),
    [
        ("abcd", "bcde", 0.75),
        ("tide", "diet", 0.25),
        ("diet", "tide", 0.5),
        ("ab", "acab", 2 * 2 / 6),
        ("same", "same", 1.0),
        ("abc", "xyz", 0.0),
        (" same\n", "\tsame ", 1.0),
    ],
)
def test_reference_values(action: str, expert: str, expected: float) -> None:
    assert step_similarity(action, expert) == expected


@pytest.mark.parametrize(("action", "expert"), [("", ""), ("", "x"), ("x", ""), (" \n", "\t")])
def test_an_empty_text_is_like_nothing(action: str, expert: str) -> None:
    assert step_similarity(action, expert) == 0.0


def test_a_long_step_that_is_85_percent_alike_scores_so_and_autojunk_would_not_see_it() -> None:
    rng = random.Random(0)
    expert = prose(1300, rng)
    action = corrupted(expert, 0.17, rng)
    junked = difflib.SequenceMatcher(None, action, expert).ratio()
    assert 0.8 < step_similarity(action, expert) < 0.9
    assert junked < 0.1


@given(any_text, any_text)
@example("\ud800\udc00a", "\udc00a\ud800")
@example("a\x00b", "\x00ab")
@settings(deadline=None, max_examples=300)
def test_equals_difflib_on_any_unicode(action: str, expert: str) -> None:
    if action.strip() or expert.strip():
        assert step_similarity(action, expert) == difflib_ratio(action, expert)


@given(repetitive, repetitive, st.integers(0, 120), st.integers(0, 120))
@settings(deadline=None, max_examples=300)
def test_equals_difflib_on_repetitive_and_overlapping_texts(
    action: str, expert: str, start: int, end: int
) -> None:
    expert = action[:start] + expert + action[end:]
    if action.strip() or expert.strip():
        assert step_similarity(action, expert) == difflib_ratio(action, expert)


@pytest.mark.parametrize("length", [200, 1300, 3000, 10_000])
@pytest.mark.parametrize("share", [0.03, 0.15, None])
def test_equals_difflib_on_steps_of_any_length(length: int, share: float | None) -> None:
    rng = random.Random(length)
    expert = prose(length, rng)
    action = prose(length // 2, rng) if share is None else corrupted(expert, share, rng)
    exact = cydifflib.SequenceMatcher(None, action.strip(), expert.strip(), False).ratio()
    assert step_similarity(action, expert) == exact


HOSTILE = {
    "one letter against a pattern": ("a" * 16_000, "aab" * 5_000),
    "pattern against one letter": ("aab" * 5_000, "a" * 16_000),
    "growing runs": (
        "".join("a" * k + "b" for k in range(180)),
        "".join("a" * k + "c" for k in range(180)),
    ),
    "two patterns": ("aaaaaab" * 2_000, "aaaaaac" * 2_000),
    "coin flips": tuple("".join(random.Random(s).choices("ab", k=2_000)) for s in (1, 2)),
    "one letter against two": ("a" * 16_000, "ab" * 8_000),
    "with a lone surrogate": ("a" * 3_161 + "\ud800", "aab" * 1_054),
    "a million letters": ("a" * 10**6, "aab" * 10**5),
    "nothing in common": ("x" * 10**6, "aab" * 10**5),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_cost_a_bounded_time(name: str) -> None:
    action, expert = HOSTILE[name]
    start = time.thread_time()
    value = step_similarity(action, expert)
    assert time.thread_time() - start < 0.6  # 0.2 s at most where this was measured
    assert 0.0 <= value <= 1.0
    assert step_similarity(action, expert) == value


def test_what_lies_beyond_the_limit_counts_as_different() -> None:
    limit = similarity.MAX_CHARACTERS
    shared = "".join(chr(0x4E00 + i) for i in range(limit))
    assert step_similarity(shared + "x" * 1000, shared + "y" * 3000) == 2 * limit / (
        2 * limit + 4000
    )
    assert step_similarity("x" * limit + "same", "y" * limit + "same") == 0.0


def test_matched_blocks_are_where_the_texts_are_equal_and_add_up() -> None:
    assert matched_blocks("say 7 now", "say 1 now") == [(0, 0, 4), (5, 5, 4)]
    assert matched_blocks("abc", "xyz") == matched_blocks("", "a") == []
    rng = random.Random(0)
    for size in (30, 300, 1500):
        a, b = ("".join(rng.choices("abcd efgh", k=size)) for _ in range(2))
        b = b[: size // 2] + a[size // 2 :]
        blocks = matched_blocks(a, b)
        assert blocks == sorted(blocks)
        assert all(a[i : i + n] == b[j : j + n] for i, j, n in blocks)
        assert sum(n for _, _, n in blocks) == matched_characters(a, b)

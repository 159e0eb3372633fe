from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from srl_env.data.quality.duplicates import Duplicates, Pair

TALE = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in "
    "May. How many clips did Natalia sell altogether in April and May?"
)


def found(*problems: tuple[str, str, str], near: bool = True) -> list[Pair]:
    """Pairs among (split, id, prompt), each standing at its place in the list."""
    with Duplicates(near) as finder:
        for number, (split, problem_id, prompt) in enumerate(problems):
            finder.add(0, number, split, problem_id, prompt)
        return list(finder.find())


def test_equal_ids_and_prompts_are_found_with_the_problem_they_repeat() -> None:
    pairs = found(("train", "a", "x y z"), ("train", "a", "X  y z"), ("test", "b", "x y z"))
    assert pairs == [
        Pair("id", (0, 1), (0, 0), 1.0, False),
        Pair("prompt", (0, 1), (0, 0), 1.0, False),
        Pair("prompt", (0, 2), (0, 0), 1.0, True),
    ]


def test_a_repetition_in_another_split_is_reported_before_one_in_its_own() -> None:
    pairs = found(("a", "1", "x"), ("b", "2", "x"), ("b", "3", "x"))
    assert [(pair.later, pair.earlier, pair.across) for pair in pairs] == [
        ((0, 1), (0, 0), True),
        ((0, 2), (0, 0), True),
    ]


def test_a_changed_word_is_nearly_the_same_and_changed_numbers_are_another_problem() -> None:
    (pair,) = found(("a", "1", TALE), ("b", "2", TALE.replace("half", "twice")))
    # 34 tokens make 32 shingles; the one word is in three of them: 29 of 35 shared
    assert tuple(pair) == ("near", (0, 1), (0, 0), pytest.approx(29 / 35), True)
    other = TALE.replace("48", "50").replace("half", "twice").replace("clips", "pins")
    assert found(("a", "1", TALE), ("b", "2", other)) == []
    assert found(("a", "1", TALE), ("b", "2", TALE + "!"), near=False) == []


@pytest.mark.parametrize("prompts", [["", "."], ["a", "b"], ["2+3", "2-3"], ["\ud800", "\ud801"]])
def test_short_prompts_that_differ_are_not_the_same(prompts: Sequence[str]) -> None:
    assert found(*[("a", str(i), prompt) for i, prompt in enumerate(prompts)]) == []


def test_near_pairs_are_found_at_the_rate_that_is_promised() -> None:
    rng = random.Random(5)
    words = [f"w{i}" for i in range(5000)]
    missed = 0
    for _ in range(100):
        prompt = rng.choices(words, k=60)
        changed = [*prompt[:30], "new", *prompt[31:]]  # 55 of 61 shingles shared, 0.90
        missed += not found(("a", "1", " ".join(prompt)), ("a", "2", " ".join(changed)))
    assert missed <= 6


def test_prompts_that_share_half_of_their_shingles_are_never_reported() -> None:
    rng = random.Random(6)
    words = [f"w{i}" for i in range(5000)]
    for _ in range(50):
        prompt = rng.choices(words, k=60)
        other = prompt[:40] + rng.choices(words, k=20)
        assert found(("a", "1", " ".join(prompt)), ("a", "2", " ".join(other))) == []


def test_ids_and_prompts_are_compared_with_all_earlier_ones() -> None:
    pairs = found(*[("a", str(i % 400), str(i % 700)) for i in range(1000)])
    assert sum(pair.kind == "id" for pair in pairs) == 600
    assert sum(pair.kind == "prompt" for pair in pairs) == 300
    assert {abs(p.later[1] - p.earlier[1]) % 400 for p in pairs if p.kind == "id"} == {0}


def test_nothing_is_left_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found(("a", "1", TALE), ("a", "2", TALE))
    assert list(tmp_path.iterdir()) == []


def test_no_problems_have_no_duplicates() -> None:
    assert found() == []

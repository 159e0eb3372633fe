"""Replacements that turn one text into another."""

from __future__ import annotations

import random

import pytest

from srl_env.swe.builder.edits import replacements, valid_replacements


def made(text: str, pairs: list[tuple[str, str]]) -> str:
    for old, new in pairs:
        assert text.count(old) == 1
        assert old.strip()
        text = text.replace(old, new)
    return text


def test_one_changed_line_is_one_line() -> None:
    text = "a = 1\nb = 2\nc = 3\n"
    assert replacements(text, text.replace("2", "5")) == [("b = 2", "b = 5")]


def test_lines_are_added_until_the_old_text_is_the_only_one() -> None:
    text = "def f():\n    return 1\n\ndef g():\n    return 1\n"
    right = "def f():\n    return 1\n\ndef g():\n    return 2\n"
    assert replacements(text, right) == [("def g():\n    return 1", "def g():\n    return 2")]


def test_a_line_that_is_missing_comes_with_its_neighbour() -> None:
    text, right = "a\nc\n", "a\nb\nc\n"
    ((old, new),) = replacements(text, right)
    assert (old, new) in [("a", "a\nb"), ("c", "b\nc")]


def test_two_far_changes_are_two_replacements() -> None:
    lines = [f"line {number}" for number in range(30)]
    right = [*lines]
    right[3], right[25] = "three", "twenty-five"
    pairs = replacements("\n".join(lines) + "\n", "\n".join(right) + "\n")
    assert pairs == [("line 3", "three"), ("line 25", "twenty-five")]


def test_equal_texts_need_none() -> None:
    assert replacements("a\n", "a\n") == []


@pytest.mark.parametrize("seed", range(30))
def test_any_text_becomes_any_other(seed: int) -> None:
    rng = random.Random(seed)
    one = [rng.choice(["x = 1", "y = 2", "", "    return", "pass"]) for _ in range(12)]
    other = [rng.choice([line, "new", line]) for line in one if rng.random() < 0.9]
    text, right = "\n".join(["start", *one, ""]), "\n".join(["start", *other, ""])
    assert made(text, replacements(text, right)) == right


def test_the_text_is_valid_python_after_every_replacement() -> None:
    text = "def f(x):\n    if x:\n        a = 1\n        b = 2\n        c = 3\n        return a\n"
    goal = "def f(x):\n    try:\n        a = 1\n        b = 2\n        c = 3\n        return a\n"
    goal += "    finally:\n        x = 0\n"
    assert len(replacements(text, goal)) == 2
    ((old, new),) = valid_replacements(text, goal)
    assert text.replace(old, new) == goal
    assert valid_replacements(text, text.replace("1", "7")) == [("        a = 1", "        a = 7")]

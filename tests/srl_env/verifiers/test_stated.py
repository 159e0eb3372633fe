"""Answers of any kind: numbers as numbers, texts as texts."""

from __future__ import annotations

import pytest

from srl_env.verifiers import StatedVerifier

VERIFIER = StatedVerifier()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so\n#### 9 apples\nbye", "9 apples"),
        (r"thus \boxed{9}", "9"),
        (r"\boxed{1} #### 2", "2"),
        ("the answer is 9", None),
        ("####", None),
        (r"\boxed{", None),
        ("", None),
    ],
)
def test_the_answer_is_read_after_the_mark_or_from_the_box(text: str, answer: str | None) -> None:
    assert VERIFIER.extract(text) == answer


@pytest.mark.parametrize(
    ("answer", "expected", "equal"),
    [
        ("9.0", "9", True),
        ("$1,234", "1234", True),
        ("9 apples", "9", True),
        ("1/2", "0.5", True),
        ("8", "9", False),
        ("nine", "9", False),
        ("  New   YORK. ", "new york", True),
        ("3 cats", "3 dogs", False),
        ("3 dogs", "3 dogs", True),
        ("", "x", False),
        ("٣", "3", True),
    ],
)
def test_equal_means_the_same_number_or_text(answer: str, expected: str, equal: bool) -> None:
    assert VERIFIER.equal(answer, expected) is equal

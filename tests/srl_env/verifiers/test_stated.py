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

from __future__ import annotations

import pytest

from srl_env.errors import BadData, BadOption
from srl_env.problem import Problem
from srl_env.verifiers import ExactVerifier

PROBLEM = Problem("p", "f1,m:f+f?m>", answer="m2")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("#m2;", "m2"),
        ("#m1;#m2;", "m2"),
        ("# m2 ; and more", "m2"),
        ("#m2\nmore", "m2"),
        ("m2;", None),
        ("#", None),
        ("", None),
        ("#\ud800\0;", "\ud800\0"),
    ],
)
def test_the_answer_stands_after_the_last_marker(text: str, answer: str | None) -> None:
    assert ExactVerifier("#").extract(text) == answer


def test_only_the_last_action_is_judged() -> None:
    assert ExactVerifier().verify(PROBLEM, ["m2;", "#m2;"]).correct
    assert not ExactVerifier().verify(PROBLEM, ["#m2;", "#m3;"]).correct
    assert not ExactVerifier().verify(PROBLEM, []).correct


def test_a_verdict_says_what_was_read() -> None:
    assert ExactVerifier().verify(PROBLEM, ["#m3;"]).to_info() == {"correct": False, "answer": "m3"}


def test_a_problem_without_an_answer_is_an_error_of_the_data() -> None:
    with pytest.raises(BadData, match="problem 'q' has no answer; ExactVerifier needs one"):
        ExactVerifier().verify(Problem("q", "?"), ["#m2;"])


def test_a_marker_is_a_text() -> None:
    with pytest.raises(BadOption, match="marker must be the text before an answer"):
        ExactVerifier(marker="")

from __future__ import annotations

import pytest

from srl_env.errors import BadData, BadOption
from srl_env.problem import Problem
from srl_env.verifiers import NumericVerifier

PROBLEM = Problem("p", "How much?", answer="1,234.50")


def test_a_third_is_not_0_3333() -> None:
    assert not NumericVerifier().equal("0.3333", "1/3")
    assert NumericVerifier().equal("2/6", "1/3")


@pytest.mark.parametrize(
    "action", ["#### 1234.5", "so #### 3\n#### $1,234.50.", "####1234.50 coins"]
)
def test_the_number_after_the_last_marker_is_compared(action: str) -> None:
    assert NumericVerifier().verify(PROBLEM, ["#### 1", action]).correct


def test_an_expected_answer_that_is_not_a_number_is_an_error_of_the_data() -> None:
    with pytest.raises(BadData, match="needs an answer that is a number; got 'many'"):
        NumericVerifier().equal("42", "many")


def test_no_marker_is_a_wrong_answer() -> None:
    verdict = NumericVerifier().verify(PROBLEM, ["1234.5"])
    assert not verdict.correct
    assert verdict.answer is None


def test_a_marker_is_a_text() -> None:
    with pytest.raises(BadOption, match="marker must be the text before an answer"):
        NumericVerifier(marker="")

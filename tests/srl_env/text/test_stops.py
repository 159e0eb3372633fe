"""Where a step ends: after the first visible character, and not inside a thought."""

from __future__ import annotations

import pytest

from srl_env.policy import Sampling
from srl_env.text.format import Brackets, ThinkTags
from srl_env.text.stops import cut, ended_early, find_stop


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("2 + 2 = 4\n#### 4", "2 + 2 = 4\n"),
        ("\n \n2 + 2 = 4\n#### 4", "\n \n2 + 2 = 4\n"),
        ("<think>two\nlines</think>\n4\n5", "<think>two\nlines</think>\n4\n"),
        ("\n<think>a</think>\n\n 4\n5", "\n<think>a</think>\n\n 4\n"),
        ("<think>never\nclosed", "<think>never\nclosed"),
        ("<think>a\n</think>\n\n", "<think>a\n</think>\n\n"),
        ("first <think>a\nb", "first <think>a\n"),
        ("one line", "one line"),
    ],
)
def test_a_line_ends_after_the_thought_and_after_visible_text(text: str, before: str) -> None:
    assert cut(text, ("\n",)) == before


@pytest.mark.parametrize(
    ("text", "early"),
    [
        ("", True),  # many servers remove the string and do not name it
        ("\n", True),
        ("\n2", True),  # of the string "\n2"
        ("<think>two\n", True),
        ("<think>two lines</think>\n", True),
        ("2 + 2 = 4\n", False),
        ("<think>two</think> 4\n", False),
        ("2 + 2", False),
    ],
)
def test_an_engine_ends_early_where_its_string_does_not_count(text: str, early: bool) -> None:
    assert ended_early(text, ("\n", "\n2")) is early
    assert not ended_early(text, ())


def test_the_first_of_several_strings_ends_the_step_and_empty_ones_never() -> None:
    assert find_stop("a;b#c", ("#", ";", "")) == 2
    assert find_stop(";", (";",)) == 1
    assert find_stop("a;", ()) is None


def test_servers_are_not_given_a_string_that_would_end_the_thought() -> None:
    thinking = Sampling().for_format(ThinkTags(one_line=True), "step")
    assert (thinking.stop, thinking.engine_stop) == (("\n",), [])
    assert Sampling().for_format(Brackets(), "step").engine_stop == [";"]


def test_a_whole_solution_is_not_ended_by_the_end_of_a_line() -> None:
    assert Sampling().for_format(ThinkTags(one_line=True), "solution") == Sampling()
    assert Sampling(stop=("!",)).for_format(Brackets(), "step") == Sampling(stop=("!",))

"""Hints in prompts, worked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srl_env.errors import BadOption
from srl_env.text.format import Brackets, ThinkTags
from srl_env.text.hint import hinted_opening, with_hint
from srl_env.text.prompt import Message, PromptStyle, Turn, make_messages, make_opening

QUIET = PromptStyle(step_task="", solution_task="")
HISTORY = (Turn("a"), Turn("b", "2"), Turn("c"))


def prompt(style: PromptStyle, *history: Turn, hint: tuple[str, ...] = ()) -> list[Message]:
    opening = make_opening(style, ThinkTags(), "step", "1+1?")
    return make_messages(style, hinted_opening(style, opening, hint), history, "end")


def test_the_hint_follows_the_problem() -> None:
    opening = make_opening(QUIET, Brackets(), "step", "1+1?")
    (message,) = make_messages(QUIET, hinted_opening(QUIET, opening, ["x", "", "y"]), (Turn("a"),))
    assert message["content"] == (
        "Problem:\n1+1?\n\nHint, from a correct solution:\nx\ny\n\nSolution so far:\na"
    )


def test_the_bare_style_shows_the_hint_before_the_problem() -> None:
    style = PromptStyle.bare()
    opening = make_opening(style, Brackets(), "step", "1+1>")
    (message,) = make_messages(style, hinted_opening(style, opening, ["x;", "y;"]), (Turn("a;"),))
    assert message["content"] == "x;y;1+1>a;"


@pytest.mark.parametrize(
    "style", [PromptStyle(), QUIET, PromptStyle.bare(), replace(QUIET, last_turns=1, turns=False)]
)
def test_a_hint_added_later_gives_the_messages_of_an_episode_with_the_hint(
    style: PromptStyle,
) -> None:
    for length in range(len(HISTORY) + 1):
        plain = prompt(style, *HISTORY[:length])
        hinted = prompt(style, *HISTORY[:length], hint=("x", "y"))
        assert with_hint(style, plain, "1+1?", ("x", "y")) == hinted != plain
        assert with_hint(style, hinted, "1+1?", ("z",), ("x", "y")) == prompt(
            style, *HISTORY[:length], hint=("z",)
        )
        assert with_hint(style, hinted, "1+1?", (), ("x", "y")) == plain
        assert [m["role"] for m in hinted] == [m["role"] for m in plain]
        assert plain == prompt(style, *HISTORY[:length])  # unchanged


def test_without_actions_nothing_changes() -> None:
    plain = prompt(QUIET, *HISTORY)
    assert with_hint(QUIET, plain, "1+1?", ()) == plain == prompt(QUIET, *HISTORY, hint=("",))


def test_places_in_problems_and_hints_are_left_alone() -> None:
    opening = make_opening(QUIET, Brackets(), "step", "{steps} {")
    assert hinted_opening(QUIET, opening, ["{problem} }"]).problem == (
        "Problem:\n{steps} {\n\nHint, from a correct solution:\n{problem} }"
    )


def test_messages_of_another_problem_are_refused() -> None:
    with pytest.raises(ValueError, match="must begin with the problem"):
        with_hint(QUIET, prompt(QUIET), "2+2?", ("x",))


@pytest.mark.parametrize("template", ["{problem}", "{steps}"])
def test_a_hint_without_its_places_is_refused(template: str) -> None:
    with pytest.raises(BadOption, match="'hint' must contain {problem} and {steps}"):
        PromptStyle(hint=template)

"""Prompts, worked by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from srl_env.errors import BadOption
from srl_env.text.format import Brackets, ThinkTags
from srl_env.text.prompt import (
    SOLUTION_TASK,
    STEP_TASK,
    PromptStyle,
    Turn,
    compacted,
    make_messages,
    make_opening,
    observation_text,
)

QUIET = PromptStyle(step_task="", solution_task="")


def contents(style: PromptStyle, *turns: Turn, title: str | None = None) -> list[tuple[str, str]]:
    messages = make_messages(style, make_opening(style, Brackets(), "step", "1+1?"), turns, title)
    return [(message["role"], message["content"]) for message in messages]


def test_the_system_message_holds_task_form_and_note() -> None:
    style = PromptStyle(note="End with #.")
    system, user = make_messages(style, make_opening(style, ThinkTags(), "step", "1+1?"), ())
    assert system == {
        "role": "system",
        "content": f"{STEP_TASK}\n\n{ThinkTags().instructions}\n\nEnd with #.",
    }
    assert user == {"role": "user", "content": "Problem:\n1+1?"}


def test_a_whole_solution_has_a_task_of_its_own() -> None:
    messages = make_messages(
        PromptStyle(), make_opening(PromptStyle(), ThinkTags(), "solution", "1+1?"), ()
    )
    assert messages[0]["content"].startswith(SOLUTION_TASK)


def test_steps_without_an_answer_are_listed_in_the_user_message() -> None:
    assert contents(QUIET, Turn("a"), Turn("b")) == [
        ("user", "Problem:\n1+1?\n\nSolution so far:\na\nb")
    ]


def test_steps_that_the_world_answered_become_turns() -> None:
    assert contents(QUIET, Turn("a", "1"), Turn("b", "2")) == [
        ("user", "Problem:\n1+1?"),
        ("assistant", "a"),
        ("user", "Observation:\n1"),
        ("assistant", "b"),
        ("user", "Observation:\n2"),
    ]


def test_answered_and_unanswered_steps_may_mix() -> None:
    assert contents(QUIET, Turn("a"), Turn("b", "1"), Turn("c"), title="T") == [
        ("user", "Problem:\n1+1?\n\nSolution so far:\na"),
        ("assistant", "b"),
        ("user", "Observation:\n1\n\nSolution so far:\nc\n\nThe title of the next step: T"),
    ]


def test_without_turns_all_stays_in_one_user_message() -> None:
    style = PromptStyle(step_task="", turns=False, so_far="Done:\n{steps}")
    assert contents(style, Turn("a"), Turn("b", "1"), Turn("c")) == [
        ("user", "Problem:\n1+1?\n\nDone:\na\nb\n\nObservation:\n1\n\nDone:\nc")
    ]


def test_the_bare_style_joins_problem_and_actions() -> None:
    style = PromptStyle.bare()
    messages = make_messages(
        style, make_opening(style, Brackets(), "step", "p>"), [Turn("a1;"), Turn("b2;", "!")]
    )
    assert messages == [{"role": "user", "content": "p>a1;b2;!"}]
    assert observation_text(style, messages) == "p>a1;b2;!"


def test_actions_that_say_nothing_are_left_out() -> None:
    assert contents(QUIET, Turn("a"), Turn(""), Turn("b")) == contents(QUIET, Turn("a"), Turn("b"))
    assert contents(QUIET, Turn("")) == contents(QUIET)


def test_only_the_last_turns_of_the_history_are_shown_where_a_style_says_so() -> None:
    history = [Turn("a", "1"), Turn("b"), Turn("c", "3"), Turn("d", "4")]
    for count in (None, 0, 1, 2, 3, 4, 9):
        style = replace(QUIET, last_turns=count)
        shown = history if count is None else history[4 - min(count, 4) :]
        assert contents(style, *history, title="T") == contents(QUIET, *shown, title="T")
    assert contents(replace(QUIET, last_turns=2), *history) == [
        ("user", "Problem:\n1+1?"),
        ("assistant", "c"),
        ("user", "Observation:\n3"),
        ("assistant", "d"),
        ("user", "Observation:\n4"),
    ]
    assert contents(replace(QUIET, last_turns=2)) == contents(QUIET)


@pytest.mark.parametrize("count", [-1, True, 2.0, "2"])
def test_the_number_of_turns_shown_is_a_count(count: int) -> None:
    with pytest.raises(
        BadOption, match="last_turns must be a whole number of at least 0, or None; got"
    ):
        PromptStyle(last_turns=count)


def test_braces_in_problems_and_actions_are_left_alone() -> None:
    messages = make_messages(
        QUIET, make_opening(QUIET, Brackets(), "step", "{problem} {0} {"), [Turn("{steps} }")]
    )
    assert messages[0]["content"] == "Problem:\n{problem} {0} {\n\nSolution so far:\n{steps} }"


def test_the_observation_is_the_messages_as_one_text() -> None:
    messages = make_messages(
        PromptStyle(), make_opening(PromptStyle(), Brackets(), "step", "1+1?"), [Turn("a", "1")]
    )
    assert observation_text(PromptStyle(), messages) == (
        f"{STEP_TASK}\n\nProblem:\n1+1?\n\nAction:\na\n\nObservation:\n1"
    )


@pytest.mark.parametrize("name", ["problem", "so_far", "title", "observation"])
def test_a_template_without_its_place_is_refused(name: str) -> None:
    with pytest.raises(BadOption, match=f"template '{name}' must contain"):
        PromptStyle(**{name: "nothing"})  # type: ignore[arg-type]


def test_old_observations_are_left_out_when_the_history_is_too_long() -> None:
    long = "line\n" * 20  # 100 characters
    history = [Turn("a", long), Turn("b", None), Turn("c", long), Turn("d", long)]
    assert compacted(history[:3], 250) == history[:3]
    note = "[21 lines left out]"
    assert compacted(history, 250) == [Turn("a", note), Turn("b"), Turn("c", note), history[3]]


def test_a_history_only_grows_between_two_times_that_it_is_compacted() -> None:
    history = [Turn("a" * 10, "o" * 90) for _ in range(25)]
    shown = [compacted(history[:n], 1000) for n in range(26)]
    grown = [later[: len(one)] == one for one, later in itertools.pairwise(map(list, shown))]
    assert grown[:10] == [True] * 10
    assert grown[10:15] == [False, True, True, True, True]
    assert all(sum(len(a) + len(o or "") for a, o in one) <= 1000 for one in shown)
    assert all(one[-1] == history[0] for one in shown[1:])  # the newest is whole


def test_a_short_observation_stays_and_so_does_the_newest() -> None:
    assert compacted([Turn("a", "ok"), Turn("b", "x" * 99)], 10) == [
        Turn("a", "ok"),
        Turn("b", "x" * 99),
    ]

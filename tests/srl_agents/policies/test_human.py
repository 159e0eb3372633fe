"""A person at the terminal, with the terminal replaced."""

from __future__ import annotations

import io

import pytest

from srl_agents.policies import HumanPolicy, InputEnded
from srl_env.policy import Policy, Sampling
from srl_env.text.format import ThinkTags
from srl_env.text.prompt import Message


def typed(text: str, **options: object) -> tuple[HumanPolicy, io.StringIO]:
    screen = io.StringIO()
    return HumanPolicy(source=io.StringIO(text), screen=screen, **options), screen  # type: ignore[arg-type]


def messages(*contents: str) -> list[Message]:
    return [{"role": "user", "content": content} for content in contents]


def test_an_action_may_have_several_lines_and_ends_with_an_empty_one() -> None:
    policy, _ = typed("first\n  second\n\nanother\n\n")
    assert isinstance(policy, Policy)
    one, two = policy.generate([messages("a"), messages("b")], Sampling())
    assert one.text == "first\n  second"
    assert two.text == "another"


def test_empty_lines_before_an_action_do_not_count() -> None:
    policy, _ = typed("\n \nx\n\n")
    assert policy.generate([messages("a")], Sampling())[0].text == "x"


def test_the_end_of_the_input_ends_an_action() -> None:
    policy, _ = typed("x")
    assert policy.generate([messages("a")], Sampling())[0].text == "x"


def test_no_action_before_the_end_of_the_input_is_an_error() -> None:
    policy, _ = typed("\n")
    with pytest.raises(InputEnded, match="before an action was typed"):
        policy.generate([messages("a")], Sampling())


def test_messages_are_shown_once() -> None:
    policy, screen = typed("x\n\ny\n\n")
    policy.generate([messages("the problem")], Sampling())
    policy.generate([messages("the problem", "what the world says")], Sampling())
    shown = screen.getvalue()
    assert shown.count("the problem") == 1
    assert shown.count("what the world says") == 1


def test_a_changed_message_is_shown_again() -> None:
    policy, screen = typed("x\n\ny\n\n")
    policy.generate([messages("a long problem")], Sampling())
    policy.generate([messages("a long problem, and a step")], Sampling())
    assert screen.getvalue().count("a long problem") == 2


def test_what_is_typed_can_be_written_in_a_form() -> None:
    policy, _ = typed("x = 3\n\n", format=ThinkTags())
    (generation,) = policy.generate([messages("a")], Sampling())
    assert ThinkTags().parse(generation.text).action == "x = 3"

"""Completion formats read anything, in linear time, and leave no thinking in the action."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srl_env.problem import ExpertStep
from srl_env.text.format import (
    Brackets,
    CompletionFormat,
    ParsedStep,
    ThinkTags,
    _warn_of_think_tags,
)

FORMATS: list[CompletionFormat] = [ThinkTags(), ThinkTags(require_thought=False), Brackets()]
TAGS = st.sampled_from(["<think>", "</think>", "(", ")", ";", " ", "\n", "x", "\ud800", "\0", "π"])
HOSTILE = st.one_of(
    st.text(st.characters(exclude_categories=())), st.lists(TAGS, max_size=12).map("".join)
)


def test_thought_and_action_are_split_and_stripped() -> None:
    parsed = ThinkTags().parse("\n <think> carry the 3 </think>\n c = 58 \n")
    assert parsed == ParsedStep("carry the 3", "c = 58", True)


def test_an_empty_thought_keeps_the_form() -> None:
    assert ThinkTags().parse("<think></think>x") == ParsedStep("", "x", True)


@pytest.mark.parametrize(
    ("text", "action", "found"),
    [
        ("", "", "found 0 and 0"),
        ("no tags", "no tags", "found 0 and 0"),
        ("<think>a</think>", "", "action is empty"),
        ("<think>a</think>  \n", "", "action is empty"),
        ("<think>never closed", "", "found 1 and 0"),
        ("closed</think>only", "only", "found 0 and 1"),
        ("first <think>a</think>b", "b", "must start with <think>"),
        ("<think>a</think>b<think>c</think>d", "d", "found 2 and 2"),
        ("<think>a</think>b<think>c", "b", "found 2 and 1"),
        ("<think><think>a</think>b", "b", "found 2 and 1"),
        ("</think><think>a", "", "must start with <think>"),
    ],
)
def test_broken_think_tags_say_what_is_wrong(text: str, action: str, found: str) -> None:
    parsed = ThinkTags().parse(text)
    assert not parsed.ok
    assert parsed.thought is None
    assert parsed.action == action
    assert found in (parsed.problem_found or "")


def test_think_tags_under_brackets_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    _warn_of_think_tags.cache_clear()
    for _ in range(3):
        Brackets().parse("<think>a</think>b;")
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "format=ThinkTags()" in caplog.text


def test_the_thought_may_be_optional() -> None:
    form = ThinkTags(require_thought=False)
    assert form.parse(" x ") == ParsedStep(None, "x", True)
    assert form.parse("<think>a</think>x") == ParsedStep("a", "x", True)
    assert form.parse("").problem_found == "the action is empty"
    assert not form.parse("a</think>x").ok


def test_brackets_split_thought_and_action() -> None:
    assert Brackets().parse("(m:g6-f5)m1;") == ParsedStep("m:g6-f5", "m1;", True)
    assert Brackets().parse("m1;\n") == ParsedStep(None, "m1;", True)
    assert Brackets().parse("(a*(b+c))m1;n(2);") == ParsedStep("a*(b+c)", "m1;n(2);", True)
    assert Brackets().parse("()m1;") == ParsedStep("", "m1;", True)


@pytest.mark.parametrize(
    ("text", "action", "found"),
    [
        ("", "", "empty"),
        (";", ";", "empty"),
        ("(a);", ";", "empty"),
        ("(a)", "", "empty"),
        ("(a", "", "never closed"),
        ("((a)b;", "", "never closed"),
        ("(a)b", "b", "must end with ';'"),
        ("<think>a</think>b;", "b;", "Brackets reads a thought in round brackets"),
    ],
)
def test_broken_brackets_say_what_is_wrong(text: str, action: str, found: str) -> None:
    parsed = Brackets().parse(text)
    assert (parsed.ok, parsed.action) == (False, action)
    assert found in (parsed.problem_found or "")


@pytest.mark.parametrize("form", FORMATS)
@given(text=HOSTILE)
def test_reading_never_raises_and_ok_means_an_action(form: CompletionFormat, text: str) -> None:
    parsed = form.parse(text)
    assert parsed.ok == (parsed.problem_found is None)
    assert parsed.action or not parsed.ok
    assert parsed.action in text


@given(text=HOSTILE)
def test_no_tag_ever_stays_in_the_action(text: str) -> None:
    action = ThinkTags().parse(text).action
    assert "<think>" not in action
    assert "</think>" not in action


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("part", ["<think>", "</think>", "(", ")", "()", ";", " ", "x", "<think"])
def test_a_megabyte_is_read_in_linear_time(form: CompletionFormat, part: str) -> None:
    text = part * (1_000_000 // len(part))
    start = time.process_time()
    form.parse(text)
    form.parse("(" + text)
    assert time.process_time() - start < 3.0


@pytest.mark.parametrize(
    ("form", "step", "completion"),
    [
        (ThinkTags(), ExpertStep("x", thought="why"), "<think>why</think>\nx"),
        (ThinkTags(), ExpertStep("x"), "<think></think>\nx"),
        (ThinkTags(require_thought=False), ExpertStep("x"), "x"),
        (ThinkTags(require_thought=False), ExpertStep("x", thought="w"), "<think>w</think>\nx"),
        (Brackets(), ExpertStep("x;", thought="why"), "(why)x;"),
        (Brackets(), ExpertStep("x;"), "x;"),
    ],
)
def test_an_experts_step_is_written_in_the_form_and_read_back(
    form: CompletionFormat, step: ExpertStep, completion: str
) -> None:
    assert form.render(step) == completion
    parsed = form.parse(completion)
    assert (parsed.ok, parsed.action) == (True, step.action)


def test_instructions_and_stop_strings() -> None:
    assert "<think> and </think>" in ThinkTags().instructions
    assert ThinkTags(require_thought=False).instructions.startswith("If it helps")
    assert (ThinkTags().stop, Brackets().stop) == ((), (";",))
    assert Brackets().instructions == ""

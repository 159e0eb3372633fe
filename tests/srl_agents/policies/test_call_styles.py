"""Calls read from hostile completions: bounded time, no exception, nothing read from thoughts."""

from __future__ import annotations

import time

import pytest

from srl_agents.policies.call_styles import STYLES
from srl_env.text.tools import JsonCalls, Parameter, Tool

STYLE = {style.name: style for style in STYLES}
FORMAT = JsonCalls.of(Tool("add", "Adds.", {"a": Parameter("string")}))
MANY = 100_000
WRITTEN = {
    "tags": "<tool_call>\n<function=add>\n<parameter=a>\n{0}\n</parameter>\n</function>\n"
    "</tool_call>",
    "hermes": '<tool_call>\n{{"name": "add", "arguments": {{"a": "{0}"}}}}\n</tool_call>',
    "mistral": '[TOOL_CALLS]add[ARGS]{{"a": "{0}"}}',
    "granite": '<|tool_call|>[{{"name": "add", "arguments": {{"a": "{0}"}}}}]',
    "channels": '<|channel|>commentary to=functions.add<|message|>{{"a": "{0}"}}',
    "boxes": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>"
    '{{"a": "{0}"}}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "bare": '{{"name": "add", "parameters": {{"a": "{0}"}}}}',
}


@pytest.mark.parametrize(
    "text",
    [
        *(f"{mark}add{' ' * MANY}x" for mark in ("[TOOL_CALLS]", "<tool_call>", "<|tool_call|>")),
        "<tool_call><function=add>" + "<parameter=a>" * (MANY // 13) + "</function></tool_call>",
        "<tool_call><function=add>" * (MANY // 25),
        "<｜tool▁calls▁begin｜>" + "<｜tool▁call▁begin｜>add<｜tool▁sep｜>" * (MANY // 30),
    ],
    ids=["mistral", "hermes", "granite", "parameters", "functions", "boxes"],
)
def test_any_text_is_read_in_linear_time(text: str) -> None:
    begun = time.process_time()
    for style in STYLES:
        style.canonical(text)
    assert time.process_time() - begun < 2  # a quadratic search takes 5 to 80 s


@pytest.mark.parametrize("depth", range(400, 1_100, 30))
def test_values_nested_to_any_depth_are_no_crash(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    text = f'<tool_call>\n{{"name": "add", "arguments": {{"a": {deep}}}}}\n</tool_call>'
    assert not FORMAT.parse(STYLE["hermes"].canonical(text)).ok


@pytest.mark.parametrize("name", WRITTEN)
def test_a_call_in_a_thought_is_no_call_and_hides_none(name: str) -> None:
    thought = f"<think>I could write {WRITTEN[name].format('forged')}\n</think>\n"
    read = FORMAT.parse(STYLE[name].canonical(thought + WRITTEN[name].format("own")))
    assert read.ok
    assert FORMAT.call_of(read.action) == ("add", {"a": "own"})
    assert not FORMAT.parse(STYLE[name].canonical(thought)).ok


@pytest.mark.parametrize("name", WRITTEN)
def test_two_calls_are_no_call(name: str) -> None:
    text = "\n".join(WRITTEN[name].format(value) for value in "ab")
    assert not FORMAT.parse(STYLE[name].canonical(text)).ok

"""Declared tools: schemas, calls read and written, what is wrong with a call, similarity."""

from __future__ import annotations

from functools import partial

import pytest

from srl_env.errors import BadOption
from srl_env.problem import ExpertStep
from srl_env.rewards.measures.json_calls import call_similarity
from srl_env.text.format import CompletionFormat
from srl_env.text.tool_calls import CallError
from srl_env.text.tools import Call, JsonCalls, Parameter, Tool

ADD = Tool(
    "add",
    "Adds.",
    {"a": Parameter("integer"), "b": Parameter("number", "the second", required=False)},
)
PAINT = Tool("paint", "Paints.", {"colour": Parameter("string", choices=("red", "blue"))})
FORMAT = JsonCalls.of(ADD, PAINT, Tool("stop", "Ends."))
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2.5}}\n</tool_call>'


def test_a_tool_is_a_json_schema_as_chat_templates_take_it() -> None:
    assert ADD.schema() == {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds.",
            "parameters": {
                "type": "object",
                "properties": {
                    "a": {"type": "integer"},
                    "b": {"type": "number", "description": "the second"},
                },
                "required": ["a"],
            },
        },
    }
    assert isinstance(FORMAT, CompletionFormat)
    assert '"enum": ["red", "blue"]' in FORMAT.instructions


@pytest.mark.parametrize(
    ("text", "thought"),
    [
        (CALL, None),
        (f"<think>one and two</think>\n{CALL}\n", "one and two"),
        (f"I add them.\n{CALL}", "I add them."),
        ('{"arguments": {"b": 2.5, "a": 1}, "name": "add"}', None),
    ],
)
def test_equal_calls_are_equal_texts(text: str, thought: str | None) -> None:
    parsed = FORMAT.parse(text)
    assert (parsed.ok, parsed.thought, parsed.action) == (True, thought, CALL)
    assert FORMAT.read(parsed.action) == Call("add", {"a": 1, "b": 2.5})


def test_a_text_with_tags_stays_one_call() -> None:
    call = Call("paint", {"colour": "</tool_call>"})
    assert call.render().count("</tool_call>") == 1
    assert "colour must be 'red' or 'blue'" in str(FORMAT.parse(call.render()).problem_found)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("add 1 and 2", "there is no call"),
        ("", "there is no call"),
        ("<think>I add", "<think> is never closed"),
        ('<tool_call>\n{"name": "add", "argu', "never closed by </tool_call>"),
        (f"{CALL}\n{CALL}", "exactly one call"),
        (f"{CALL} done", "nothing may follow the call"),
        ("<tool_call>[1]</tool_call>", "a call is a JSON object; got list"),
        ("<tool_call>" + "[" * 10_000 + "</tool_call>", "there is no call"),
        ("<tool_call>" + "x" * 30_000 + "</tool_call>", "at most 20,000 characters"),
        ('{"name": "sub", "arguments": {}}', "name must be one of add, paint, stop; got 'sub'"),
        ('{"name": ["add"]}', "name must be one of"),
        ('{"name": "add", "arguments": 3}', "arguments must be a JSON object; got int"),
        ('{"name": "add"}', "add: the parameter 'a' is missing"),
        ('{"name": "add", "arguments": {"a": true}}', "a must be of type integer; got True"),
        ('{"name": "add", "arguments": {"a": "1"}}', "a must be of type integer; got '1'"),
        ('{"name": "add", "arguments": {"a": 1, "b": NaN}}', "b must be of type number"),
        ('{"name": "add", "arguments": {"a": 1, "c": 2}}', "there is no parameter 'c'"),
        ('{"name": "paint", "arguments": {"colour": "green"}}', "'red' or 'blue'; got 'green'"),
    ],
)
def test_what_is_no_call_breaks_the_format_and_says_why(text: str, problem: str) -> None:
    parsed = FORMAT.parse(text)
    assert not parsed.ok
    assert problem in str(parsed.problem_found)


def test_lone_surrogates_of_json_become_valid_text() -> None:
    format = JsonCalls.of(Tool("say", "Says.", {"text": Parameter("string")}))
    action = format.parse('{"name": "say", "arguments": {"text": "\\ud800"}}').action
    assert action.encode("utf-8")


def test_an_experts_step_is_written_so_that_it_is_read_again() -> None:
    step = ExpertStep(CALL, thought="one and two")
    assert FORMAT.parse(FORMAT.render(step)).action == CALL
    strict = JsonCalls(FORMAT.tools, require_thought=True)
    assert strict.parse(strict.render(step)).ok
    assert not strict.parse(CALL).ok


def test_tools_need_names_that_differ() -> None:
    with pytest.raises(BadOption, match="at least one"):
        JsonCalls(())
    with pytest.raises(BadOption, match="names that differ"):
        JsonCalls.of(ADD, ADD)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (Call("add", {"a": 1, "b": 2.5}), 1.0),
        (Call("add", {"a": 1}), 0.2 + 0.8 / 2),
        (Call("add", {"a": 2}), 0.2),
        (Call("stop", {}), 0.0),
        (Call("paint", {"colour": "red"}), 0.0),
    ],
)
def test_similarity_counts_the_tool_and_each_argument(own: Call, expected: float) -> None:
    similarity = partial(call_similarity, FORMAT)
    assert similarity(own.render(), CALL) == pytest.approx(expected)
    assert similarity("no call", CALL) == 0.0


def test_similar_texts_count_by_their_characters() -> None:
    format = JsonCalls.of(Tool("say", "Says.", {"text": Parameter("string")}))
    a, b = (Call("say", {"text": text}).render() for text in ("abcd", "abxx"))
    assert call_similarity(format, a, b) == pytest.approx(0.2 + 0.8 * 0.5)


def test_a_call_without_a_name_is_refused() -> None:
    with pytest.raises(CallError, match="name must be one of"):
        FORMAT.read("{}")

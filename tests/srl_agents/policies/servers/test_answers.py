"""Answers of servers: read where they can be, refused where they cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from srl_agents.policies.servers.answers import read_answer
from srl_agents.policies.servers.failures import BadAnswer
from srl_env.policy import Generation
from srl_env.text.tool_calls import ToolCall, parse_call


def read(choice: dict[str, Any], stop: tuple[str, ...] = (), **more: Any) -> Generation:
    return read_answer(json.dumps({"choices": [choice], **more}).encode(), stop).generation


def message(**fields: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", **fields}, "finish_reason": "stop"}


def call(arguments: Any, name: str = "bash") -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_chat_message_and_a_completion_are_read_alike() -> None:
    assert read(message(content="x = 4")) == Generation("x = 4")
    assert read({"text": "x = 4", "finish_reason": "length"}) == Generation(
        "x = 4", finish_reason="length"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"choices": [{"message": {"content": "x = ',
        b"<html>502</html>",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": {"0": 1}}',
        b'{"choices": ["x"]}',
        b'{"choices": [{"message": "x"}]}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": [{"message": {"content": ["x"]}}]}',
        b'{"choices": [{"message": {"content": null, "tool_calls": [7]}}]}',
        b'{"choices": [{"message": {"content": null, "tool_calls": "ls"}}]}',
        b'{"choices": [{"message": {"content": null, "tool_calls": [{"function": {}}]}}]}',
        b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}',
        b'{"choices": [{"text": null}]}',
        b'{"error": "overloaded"}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_holds_no_completion_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_answer(body, ())


@pytest.mark.parametrize("content", ["x =", "", None])
def test_a_filter_truncates_what_the_policy_wrote(content: str | None) -> None:
    made = read({**message(content=content), "finish_reason": "content_filter"})
    assert (made.text, made.finish_reason) == (content or "", "length")


@pytest.mark.parametrize("reason", ["error", "abort", "cancelled", "timeout"])
def test_a_completion_that_the_server_gave_up_is_a_bad_answer(reason: str) -> None:
    with pytest.raises(BadAnswer, match=f"did not finish .* '{reason}'"):
        read({**message(content="x = 4"), "finish_reason": reason})


def test_a_reason_to_finish_may_be_an_object() -> None:
    cut = read({**message(content="x = 4"), "finish_reason": {"type": "length", "length": 3}})
    assert cut.finish_reason == "length"
    with pytest.raises(BadAnswer, match="did not finish .* 'abort'"):
        read({**message(content="x = 4"), "finish_reason": {"type": "abort"}})


@pytest.mark.parametrize("odd", [[], ["stop"], {}, {"type": []}, 7, True])
def test_fields_of_other_types_are_as_if_missing(odd: object) -> None:
    logprobs = {"content": [{"logprob": 10**400}]}
    row = {**message(content="x"), "finish_reason": odd, "stop_reason": odd, "logprobs": logprobs}
    assert read(row) == Generation("x")


CALL = '<tool_call>\n{"name": "bash", "arguments": {"command": "ls \\u003c a"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"content": None, "tool_calls": [call('{"command": "ls < a"}')]}, CALL),
        ({"content": "", "tool_calls": [call({"command": "ls < a"})]}, CALL),
        ({"content": "look:", "tool_calls": [call({"command": "ls < a"})] * 2},
         f"look:\n{CALL}\n{CALL}"),
        ({"content": None, "reasoning": "hm", "tool_calls": [call('{"command": "ls < a"}')]},
         f"<think>hm</think>\n{CALL}"),
        ({"content": None, "tool_calls": [call("{broken")]},
         '<tool_call>\n{"name": "bash", "arguments": "{broken"}\n</tool_call>'),
        ({"content": None, "tool_calls": [call("")]},
         '<tool_call>\n{"name": "bash", "arguments": {}}\n</tool_call>'),
        ({"content": None, "function_call": {"name": "submit", "arguments": "{}"}},
         '<tool_call>\n{"name": "submit", "arguments": {}}\n</tool_call>'),
        ({"content": "x", "tool_calls": []}, "x"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
    ],
)  # fmt: skip
def test_native_tool_calls_follow_the_text(fields: dict[str, Any], text: str) -> None:
    assert read({**message(**fields), "finish_reason": "tool_calls"}) == Generation(text)


def test_a_native_tool_call_is_a_call_of_the_software_tools() -> None:
    made = read(message(content="I look.", tool_calls=[call('{"command": "grep \'<a>\' x"}')]))
    assert parse_call(made.text) == ToolCall("bash", {"command": "grep '<a>' x"})


def test_a_models_own_refusal_is_its_text() -> None:
    assert read(message(content=None, refusal="I cannot")).text == "I cannot"


def test_thinking_that_the_server_took_out_is_put_back() -> None:
    assert read(message(content="x", reasoning_content="hm")).text == "<think>hm</think>\nx"
    assert read(message(content="x", reasoning="hm")).text == "<think>hm</think>\nx"
    own = "<think>a</think>x"
    assert read(message(content=own, reasoning="hm")).text == own
    cut = {**message(content=None, reasoning="hm"), "finish_reason": "length"}
    assert read(cut) == Generation("<think>hm", finish_reason="length")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_model_that_stops_at_once_behind_a_parser_of_thinking_has_said_nothing(name: str) -> None:
    assert read(message(content=None, **{name: ""})) == Generation("")
    with pytest.raises(BadAnswer):
        read(message(content=None, **{name: None}))


def test_the_stop_string_is_part_of_the_text() -> None:
    assert read(message(content="a;b;c"), (";",)).text == "a;"
    assert read(message(content="a"), (";",)).text == "a"
    for name in ("stop_reason", "matched_stop", "stopping_word", "stop_sequence"):
        assert read({**message(content="a"), name: ";"}, (";",)).text == "a;"
    assert read({**message(content="a"), "stop_reason": "\n"}, (";", "\n")).text == "a\n"
    assert read({**message(content="a"), "stop_reason": None}, (";",)).text == "a"
    assert read({**message(content="a"), "stop_reason": 7}, (";",)).text == "a"
    assert read({**message(content="a"), "finish_reason": "length"}, (";",)).text == "a"


def test_log_probabilities_are_read_in_both_forms() -> None:
    content = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": 0}]
    assert read({**message(content="ab"), "logprobs": {"content": content}}).logprobs == (-0.5, 0)
    plain = {"text": "ab", "logprobs": {"token_logprobs": [-0.5, -1.0]}}
    assert read(plain).logprobs == (-0.5, -1.0)


@pytest.mark.parametrize(
    "logprobs", [7, {}, {"content": None}, {"content": [{}]}, {"token_logprobs": [-1.0, None]}]
)
def test_unreadable_log_probabilities_are_left_out(logprobs: Any) -> None:
    assert read({**message(content="ab"), "logprobs": logprobs}).logprobs == ()


def test_token_ids_are_kept_where_the_server_gives_them() -> None:
    choice = {**message(content="ab"), "token_ids": [5, 6], "prompt_token_ids": [1, 2, 3]}
    assert read(choice) == Generation("ab", token_ids=(5, 6), prompt_ids=(1, 2, 3))
    assert read(message(content="a"), prompt_token_ids=[4]).prompt_ids == (4,)
    assert read({**message(content="a"), "token_ids": [5, -1]}).token_ids == ()
    assert read({**message(content="a"), "token_ids": ["5"]}).token_ids == ()


def test_tokens_are_counted_as_the_server_counts_them() -> None:
    def counts(usage: Any) -> tuple[int, int]:
        body = json.dumps({"choices": [{"text": "a"}], "usage": usage}).encode()
        answer = read_answer(body, ())
        return answer.prompt_tokens, answer.completion_tokens

    assert counts({"prompt_tokens": 12, "completion_tokens": 5}) == (12, 5)
    assert counts({"prompt_tokens": "12", "completion_tokens": -5}) == (0, 0)
    assert counts(None) == (0, 0)

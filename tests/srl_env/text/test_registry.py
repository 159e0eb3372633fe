"""Formats by name: in Python, TOML and the shell, for environments and data."""

from __future__ import annotations

from typing import Any

import pytest

import srl_env
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import ExpertStep
from srl_env.swe import ToolCalls
from srl_env.text.format import Brackets, CompletionFormat, ParsedStep, ThinkTags
from srl_env.text.lines import Lines
from srl_env.text.registry import FORMATS, find_format
from srl_env.text.tools import JsonCalls


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("think", ThinkTags()),
        ("think-optional", ThinkTags(require_thought=False)),
        ("lines", Lines()),
        ("tool-calls", ToolCalls()),
        ("brackets", Brackets()),
        ("srl_env.text.lines:Lines", Lines()),
        ({"name": "think", "one_line": True}, ThinkTags(one_line=True)),
        (Brackets(), Brackets()),
    ],
)
def test_a_name_gives_its_format(name: Any, expected: CompletionFormat) -> None:
    assert find_format(name) == expected


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ("line", UnknownName, "Did you mean 'lines'"),
        ("srl_env.text.lines:Line", BadOption, "has no 'Line'"),
        ({"one_line": True}, BadOption, "format must have a name"),
        ({"name": "think", "one_lien": True}, UnknownName, "Did you mean 'one_line'"),
    ],
)
def test_a_wrong_choice_says_what_is_wrong(chosen: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        find_format(chosen)


def test_every_environment_takes_a_name_and_steps_of_one_line_end_with_it() -> None:
    env = srl_env.make("srl/GSM8K-v0", source="sample").unwrapped
    assert env.format == ThinkTags(one_line=True)
    env = srl_env.make("srl/GSM8K-v0", source="sample", format="think-optional").unwrapped
    assert env.format == ThinkTags(require_thought=False, one_line=True)
    env = srl_env.make("srl/GSM8K-v0", source="sample", format="lines").unwrapped
    env.reset(seed=0, options={"reward_mode": "srl"})
    assert env.step(f"\n{env.expert_action}\n")[1] == 1.0


def test_an_environment_with_its_own_tools_makes_the_format_of_tool_calls() -> None:
    env = srl_env.make("srl/ToolShop-v0", format="tool-calls").unwrapped
    assert isinstance(env.format, JsonCalls)
    assert env.format.tools == type(env).tools


def test_a_line_is_an_action_as_a_whole_and_has_no_thought() -> None:
    form = Lines()
    assert form.parse("\n 2 + 2 = 4 \n") == ParsedStep(None, "2 + 2 = 4", True)
    assert form.parse("a\nb").action == "a\nb"  # a whole solution
    thinking = form.parse("<think>a</think>4")
    assert (thinking.ok, thinking.action) == (False, "4")
    assert "think-optional" in (thinking.problem_found or "")
    assert form.parse(" \n").problem_found == "the action is empty"
    assert form.render(ExpertStep("4", thought="why")) == "4"


@pytest.mark.parametrize(("name", "option"), [("think", "one_line"), ("tool-calls", "native")])
def test_an_option_that_is_true_or_false_takes_nothing_else(name: str, option: str) -> None:
    shop = srl_env.make("srl/ToolShop-v0").unwrapped
    with pytest.raises(BadOption, match=f"{option} of the format '{name}' must be true or false; "):
        find_format({"name": name, option: "yes"}, type(shop).formats)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_keeps_the_protocol(name: str) -> None:
    assert isinstance(find_format(name), CompletionFormat)

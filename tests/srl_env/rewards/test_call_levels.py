"""When a tool call is accepted in place of the expert's: tool, target, content."""

from __future__ import annotations

from typing import Any

import pytest

from srl_env.rewards.measures.call_levels import Level, acceptance, graded
from srl_env.text.tool_calls import EDITOR, ToolCall, parse_call

LEVELS: tuple[Level, ...] = ("tool", "target", "content")


def bash(command: str) -> ToolCall:
    return ToolCall("bash", {"command": command})


def editor(command: str, path: str = "src/pkg/a.py", **arguments: Any) -> ToolCall:
    return ToolCall(EDITOR, {"command": command, "path": path, **arguments})


def levels(own: ToolCall, expert: ToolCall) -> list[float]:
    return [acceptance(own, expert, level) for level in LEVELS]


def test_another_kind_of_call_is_accepted_at_no_level() -> None:
    assert levels(bash("grep -n x a.py"), editor("view")) == [0.0, 0.0, 0.0]
    assert levels(bash("grep -n x a.py"), bash("python a.py")) == [0.0, 0.0, 0.0]
    assert levels(editor("view"), editor("undo_edit")) == [0.0, 0.0, 0.0]
    assert levels(ToolCall("submit", {}), ToolCall("submit", {})) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("own", "expert", "expected"),
    [
        # Lines 10 … 29 of 10 … 29; 14 … 29 are 16 of 20 lines; 15 … 29 are 15.
        (editor("view", view_range=[10, 29]), editor("view", view_range=[10, 29]), True),
        (editor("view", view_range=[14, 60]), editor("view", view_range=[10, 29]), True),
        (editor("view", view_range=[15, 60]), editor("view", view_range=[10, 29]), False),
        (editor("view"), editor("view", view_range=[10, 29]), True),
        (editor("view", view_range=[10, 29]), editor("view"), False),
        (editor("view", "/testbed/src/pkg/a.py"), editor("view"), True),
        (editor("view", "pkg/a.py"), editor("view"), True),
        (editor("view", "tests/a.py"), editor("view"), False),
        (bash("cat src/pkg/a.py"), editor("view"), True),
        (
            bash("cd /testbed && sed -n '8,40p' src/pkg/a.py"),
            editor("view", view_range=[9, 20]),
            True,
        ),
        (bash("sed -n 1,5p src/pkg/a.py"), editor("view", view_range=[9, 20]), False),
    ],
)
def test_views_are_accepted_by_path_and_lines(
    own: ToolCall, expert: ToolCall, expected: bool
) -> None:
    assert levels(own, expert) == [1.0, float(expected), float(expected)]


def test_commands_need_the_same_program_and_a_path_in_common() -> None:
    pytest_a = bash("python -m pytest -q tests/test_a.py")
    assert levels(bash("pytest -q tests/test_a.py"), pytest_a)[1] == 1.0
    assert levels(bash("pytest -q tests/test_b.py"), pytest_a) == [1.0, 0.0, 0.0]
    assert levels(bash("python3 tests/test_a.py"), pytest_a) == [1.0, 0.0, 0.0]
    # "ls -la" and "ls -l": 2*5/11; graded: 0.5 + 0.5*(10/11 − 0.4)/0.4 > 1, so 1.
    assert levels(bash("ls -l"), bash("ls -la")) == [1.0, 1.0, 1.0]
    # "ls" against "ls" and 18 others: 2*2/22 < 0.3.
    assert levels(bash("ls"), bash("ls --recursive -la x")) == [1.0, 0.0, 0.0]


def edit(old: str, new: str, path: str = "src/pkg/a.py") -> ToolCall:
    return editor("str_replace", path, old_str=old, new_str=new)


def test_edits_are_worth_the_smaller_of_two_similarities() -> None:
    expert = edit("abcd", "wxyz")
    assert levels(edit("abcd", "wxyz"), expert) == [1.0, 1.0, 1.0]
    assert levels(edit("abcd", "wxyz", "src/other/a.py"), expert) == [1.0, 0.0, 0.0]
    # Line ends count, but unequal lines match without theirs: "abc" and "abcd" share 2*3/(4 + 5).
    assert levels(edit("abc", "wxyz"), expert)[2] == pytest.approx(0.5 + 0.5 * (2 / 3 - 0.4) / 0.4)
    assert levels(edit("abcd", "wx__"), expert)[2] == 0.5  # 2*2/10
    assert levels(edit("____", "wxyz"), expert) == [1.0, 1.0, 0.0]
    assert levels(editor("insert", insert_line=3, new_str="wxyz"), expert) == [1.0, 0.0, 0.0]


def test_only_what_an_edit_has_more_than_the_experts_is_penalised() -> None:
    expert = edit("a" * 999, "b" * 999)
    assert levels(edit("a" * 999, "b" * 899), expert)[2] == 1.0
    # 250 characters more: 2*1000/2250 ≥ 0.8, times 1 − 0.1*250/500.
    assert levels(edit("a" * 999, "b" * 1249), expert)[2] == pytest.approx(0.95)


def test_similarities_are_graded() -> None:
    assert [graded(s) for s in (0.39, 0.4, 0.6, 0.8, 1.0)] == pytest.approx([0, 0.5, 0.75, 1, 1])


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    ["a/" * 50_000, "x=" * 50_000, "python -" * 12_000, "cat " * 25_000, "'" * 10**5, "9" * 10**5],
)
def test_no_command_hangs_or_crashes_it(text: str) -> None:
    for expert in (bash("ls -la"), editor("view", view_range=[1, 2]), edit("a", "b")):
        for own in (bash(text), editor("view", text), edit(text, text)):
            assert 0.0 <= acceptance(own, expert) <= 1.0


def test_the_environment_offers_the_levels_by_name() -> None:
    import srl_env

    env = srl_env.make("srl/SWE-v0", measure="accepts-target")
    env.reset(seed=0, options={"reward_mode": "srl"})
    expert = parse_call(env.unwrapped.expert_action or "")  # type: ignore[attr-defined]
    assert env.step(f"{expert.render()}")[1] == 1.0
    env.reset(seed=0, options={"reward_mode": "srl", "measure": "accepts"})
    assert env.step(ToolCall("submit", {}).render())[1] == 0.0

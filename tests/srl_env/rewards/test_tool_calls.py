from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srl_env.rewards.measures.tool_calls import text_similarity
from srl_env.swe import ToolCall, call_similarity
from srl_env.text.tool_calls import EDITOR

SUBMIT = ToolCall("submit", {}).render()


def bash(command: str) -> str:
    return ToolCall("bash", {"command": command}).render()


def editor(command: str, path: str = "a.py", **arguments: str | int | tuple[int, int]) -> str:
    return ToolCall(EDITOR, {"command": command, "path": path, **arguments}).render()


# -- calls --


def test_the_same_call_scores_one_in_whatever_form_it_is_written() -> None:
    assert call_similarity("```\nls -la\n```", bash("ls -la")) == 1.0
    assert call_similarity('{"name": "submit", "arguments": {}}', SUBMIT) == 1.0


def test_another_tool_and_no_call_score_zero() -> None:
    assert call_similarity(bash("cat a.py"), editor("view")) == 0.0
    assert call_similarity("submit it", SUBMIT) == 0.0
    assert call_similarity("", "") == 0.0


def test_a_command_is_compared_as_text() -> None:
    # difflib: "abcd" and "bcde" share "bcd", 2*3/8; and 0.1 for the tool.
    assert call_similarity(bash("abcd"), bash("bcde")) == pytest.approx(0.1 + 0.9 * 0.75)
    assert call_similarity(bash("abcd"), bash("xyz")) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "command",
    [
        "cd /testbed && pytest tests/a.py",
        "cd /testbed/ && pytest /testbed/tests/a.py",
        "pytest /testbed/tests/a.py",
    ],
)
def test_the_workspace_in_a_command_does_not_matter(command: str) -> None:
    assert call_similarity(bash(command), bash("pytest tests/a.py")) == 1.0


def test_another_folder_in_a_command_matters() -> None:
    assert call_similarity(bash("cd /tmp && ls"), bash("ls")) < 1.0
    assert call_similarity(bash("ls ~/testbed/a"), bash("ls a")) < 1.0
    assert call_similarity(bash("cd /data && ls"), bash("ls"), workspaces=("/data",)) == 1.0


@pytest.mark.parametrize(
    "path", ["src/a.py", "./src/a.py", "/testbed/src/a.py", "/testbed//src/b/../a.py"]
)
def test_a_path_is_the_same_however_it_is_written(path: str) -> None:
    assert call_similarity(editor("view", path), editor("view", "src/a.py")) == 1.0


def test_another_path_scores_half_its_likeness() -> None:
    # "ab.py" and "xy.py" share ".py" and no more, as "y" comes before it: 2*3/10.
    own, expert = editor("view", "ab.py"), editor("view", "xy.py")
    assert call_similarity(own, expert) == pytest.approx(0.1 + 0.9 * (0.4 + 0.6 * 0.5 * 0.6))


def test_another_command_of_the_editor_scores_the_path_alone() -> None:
    own, expert = editor("view"), editor("create", file_text="x")
    assert call_similarity(own, expert) == pytest.approx(0.1 + 0.9 * 0.3)


def test_view_ranges_score_their_overlap() -> None:
    own, expert = editor("view", view_range=(11, 30)), editor("view", view_range=(21, 40))
    # 10 lines in both, 30 in either; 0.2 for the command, 0.3 for the path, 0.5 for the range.
    assert call_similarity(own, expert) == pytest.approx(0.1 + 0.9 * (0.5 + 0.5 / 3))
    apart = editor("view", view_range=(50, 60))
    assert call_similarity(own, apart) == pytest.approx(0.1 + 0.9 * 0.5)
    assert call_similarity(editor("view"), editor("view", view_range=(1, -1))) == 1.0
    backwards = editor("view", view_range=(60, 50))
    assert call_similarity(backwards, apart) == pytest.approx(0.1 + 0.9 * (0.5 + 0.5 / 11))


def test_insertions_score_their_distance_and_their_text() -> None:
    own = editor("insert", insert_line=5, new_str="abcd")
    expert = editor("insert", insert_line=6, new_str="bcde")
    # 1/(1+1) for the line; "bcd" and the line's end of 4 + 1 each: 2*3/10 for the text.
    assert call_similarity(own, expert) == pytest.approx(0.1 + 0.9 * (0.5 + 0.5 * (0.5 + 0.6) / 2))


def test_an_edit_with_the_right_old_text_and_an_empty_new_one_gets_half_of_the_texts() -> None:
    own = editor("str_replace", old_str="abc", new_str="")
    expert = editor("str_replace", old_str="abc", new_str="xyz")
    assert call_similarity(own, expert) == pytest.approx(0.1 + 0.9 * (0.5 + 0.5 * (1 + 0) / 2))


# -- texts --


def test_lines_are_matched_first_and_what_is_left_by_character() -> None:
    own = "if x:\n    return a\nend"
    expert = "if x:\n    return b\nend"
    # All of "if x:" and "end" with their ends (10), and "    return " of the other line (11),
    # of 23 characters with ends on both sides.
    assert text_similarity(own, expert) == pytest.approx(2 * 21 / 46)


def test_indentation_matters() -> None:
    assert text_similarity("    return x", "return x") == pytest.approx(2 * 8 / (12 + 8 + 2))


def test_lines_in_another_order_do_not_all_match() -> None:
    assert text_similarity("aa\nbb\ncc", "aa\nbb\ncc") == 1.0
    assert 0.3 < text_similarity("bb\ncc\naa", "aa\nbb\ncc") < 0.9


LINED = st.lists(st.sampled_from(["a", "b", "", "  c", "dd"]), max_size=8).map("\n".join)


@given(LINED, LINED)
@settings(deadline=None)
def test_texts_score_between_zero_and_one_and_one_for_equal_ones_only(
    own: str, expert: str
) -> None:
    score = text_similarity(own, expert)
    assert 0.0 <= score <= 1.0
    assert (score == 1.0) == (own == expert)


ANY_CALL = st.one_of(
    st.just(SUBMIT),
    st.text("ab \n/.", min_size=1).map(lambda text: bash(f"x{text}x")),
    LINED.map(lambda text: editor("create", file_text=text)),
    st.builds(lambda old, new: editor("str_replace", old_str=old, new_str=new), LINED, LINED),
    st.builds(
        lambda a, b: editor("view", view_range=(a, b)), st.integers(-3, 20), st.integers(-3, 20)
    ),
)


@given(ANY_CALL, ANY_CALL)
@settings(deadline=None)
def test_calls_score_between_zero_and_one_and_one_against_themselves(own: str, expert: str) -> None:
    assert 0.0 <= call_similarity(own, expert) <= 1.0
    assert call_similarity(own, own) == 1.0


# -- hostile texts --

MEGABYTE = 500_000


@pytest.mark.parametrize(
    ("own", "expert"),
    [
        ("a\n" * MEGABYTE, "a\nb\n" * MEGABYTE),
        ("a\n" * 1_000, "a\nb\n" * 500),
        ("a" * MEGABYTE, "ab" * MEGABYTE),
        ("a" * 5_000, "aab" * 1_700),
        (
            "\n".join(str(i % 140) for i in range(2_000)),
            "\n".join(str(i % 141) for i in range(2_000)),
        ),
        (
            "\n".join(map(str, random.Random(1).sample(range(2_000), 2_000))),
            "\n".join(map(str, random.Random(2).sample(range(2_000), 2_000))),
        ),
    ],
)
def test_texts_made_to_take_long_do_not(own: str, expert: str) -> None:
    begin = time.process_time()
    score = call_similarity(editor("create", file_text=own), editor("create", file_text=expert))
    assert time.process_time() - begin < 2.0
    assert 0.5 < score < 1.0


def test_a_long_path_and_a_long_command_do_not_take_long() -> None:
    begin = time.process_time()
    call_similarity(editor("view", "/" * MEGABYTE), editor("view", "../" * MEGABYTE))
    call_similarity(bash("cd " * MEGABYTE), bash("/testbed/" * MEGABYTE))
    assert time.process_time() - begin < 4.0


def test_long_texts_with_one_changed_line_score_nearly_one() -> None:
    lines = [f"line {i} = {i * i}" for i in range(1_500)]
    changed = [*lines[:700], "line 700 = 0", *lines[701:]]
    assert text_similarity("\n".join(changed), "\n".join(lines)) > 0.999

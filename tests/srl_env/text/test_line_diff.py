"""Lines that stayed, were removed or were added."""

from __future__ import annotations

import time

from srl_env.text.line_diff import MOST_COMPARED, hunks, line_changes, split_lines


def test_only_a_newline_ends_a_line() -> None:
    assert split_lines("a\r\nb\x0cc\n\nd") == ["a\r\n", "b\x0cc\n", "\n", "d"]
    assert split_lines("a\n") == ["a\n"]
    assert split_lines("") == []


def test_a_changed_line_is_removed_and_added() -> None:
    rows = line_changes(["a", "b", "c"], ["a", "x", "c"])
    assert rows == [(" ", "a"), ("-", "b"), ("+", "x"), (" ", "c")]


def test_repeated_lines_at_both_ends_are_not_counted_twice() -> None:
    assert line_changes(["a", "a"], ["a", "a", "a"]) == [(" ", "a"), (" ", "a"), ("+", "a")]
    assert line_changes(["a", "a", "a"], ["a"]) == [(" ", "a"), ("-", "a"), ("-", "a")]


def test_both_sides_can_be_read_from_the_rows() -> None:
    before, after = list("abcdefgh"), list("axcdyyghz")
    rows = line_changes(before, after)
    assert [line for sign, line in rows if sign != "+"] == before
    assert [line for sign, line in rows if sign != "-"] == after


def test_hunks_have_three_lines_of_context_and_meet_where_these_touch() -> None:
    before = [f"{n}\n" for n in range(30)]
    after = list(before)
    after[10], after[16], after[25] = "x\n", "y\n", "z"
    first, second = hunks(line_changes(before, after))
    assert first.startswith("@@ -8,13 +8,13 @@\n 7\n 8\n 9\n-10\n+x\n 11\n")
    assert second.startswith("@@ -23,7 +23,7 @@\n")
    assert "+z\n\\ No newline at end of file\n" in second


def test_a_file_from_nothing_starts_at_line_zero() -> None:
    assert list(hunks(line_changes([], ["a\n", "b\n"]))) == ["@@ -0,0 +1,2 @@\n+a\n+b\n"]


def test_texts_that_are_hard_to_compare_take_bounded_time() -> None:
    hard = ["a", "b"] * MOST_COMPARED
    began = time.process_time()
    rows = line_changes(["x", *hard, "y"], ["z", *hard[1:], "w"])
    assert time.process_time() - began < 5
    assert sum(sign == "+" for sign, _ in rows) == 2 * MOST_COMPARED + 1

"""Limits, output as people and models see it, and snapshots as plain data."""

from __future__ import annotations

import pickle
import re
import sys
import time
import unicodedata
from dataclasses import replace

import pytest

from srl_env.errors import BadOption
from srl_env.sandbox import Change, CommandResult, Limits, Snapshot, printable
from srl_env.sandbox.snapshot import SNAPSHOT_BYTES
from srl_env.text.unicode import escaped


def test_a_limit_must_be_positive() -> None:
    with pytest.raises(BadOption, match=r"processes must be a positive number; got 0"):
        Limits(processes=0)
    with pytest.raises(BadOption, match="memory_bytes must be a positive number; got nan"):
        Limits(memory_bytes=float("nan"))  # type: ignore[arg-type]


def test_terminal_sequences_go_and_other_controls_are_spelled_out() -> None:
    assert printable(b"\x1b[31;1mred\x1b[0m\ttab\r\nline\x07\x00") == "red\ttab\nline\\x07\\x00"
    assert printable("über".encode()) == "über"
    assert printable(b"\xff") == "\ufffd"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("Zürich 東京 🙂", "Zürich 東京 🙂"),
        ("👩\u200d👩", "👩\u200d👩"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\rb\x85c", r"a\rb\x85c"),
        ("x\u202ey\u2066z", r"x\u202ey\u2066z"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("lone \ud800 byte \udcff", r"lone \ud800 byte \xff"),
        ("tag \U000e0041", r"tag \U000e0041"),
    ],
)
def test_what_cannot_be_seen_is_escaped_as_python_does(text: str, shown: str) -> None:
    assert escaped(text) == shown
    assert escaped(shown) == shown


def test_no_character_without_a_glyph_stays() -> None:
    unseen = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    text = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {char for char in escaped(text) if unicodedata.category(char) in unseen}
    assert left == set("\t\n\u200c\u200d")


def test_hostile_sequences_take_linear_time() -> None:
    started = time.monotonic()
    for hostile in (b"\x1b[" + b"0" * 500_000, b"\x1b[" * 250_000, b"\x1b]" * 250_000):
        printable(hostile)
    assert time.monotonic() - started < 5


def test_the_middle_left_out_is_marked_where_it_was() -> None:
    result = CommandResult("output", -9, b"head" + b"tail", 1000, b"", 0.1)
    assert result.text() == "head\n[... 992 bytes left out ...]\ntail"
    assert not result.ok


def test_only_an_exit_with_status_0_is_ok() -> None:
    assert CommandResult("exited", 0, b"", 0, b"", 0.1).ok
    assert not CommandResult("exited", 1, b"", 0, b"", 0.1).ok
    assert not CommandResult("timeout", 0, b"", 0, b"", 0.1).ok


def test_a_snapshot_holds_what_a_full_workspace_holds_and_no_more() -> None:
    assert SNAPSHOT_BYTES == Limits().workspace_bytes == 256 << 20


def test_a_snapshot_can_be_pickled() -> None:
    snapshot = Snapshot((Change("added", "\udcff", "file", 0o644, 1, 1),), (b"x",))
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot


FILE = Change("added", "a/f", "file", 0o644, 1, 1)


@pytest.mark.parametrize(
    ("fields", "content", "said"),
    [
        ({"size": 2}, b"x", "size must be 1, that of its content; got 2"),
        ({"size": 0}, b"x", "size must be 1"),
        ({"size": -1}, b"x", "size must be 1"),
        ({"size": 1.0}, b"x", "size must be 1"),
        ({"size": True}, b"x", "size must be 1"),
        ({}, "x", "content must be bytes; got 'str'"),
        ({"change": "deleted"}, b"x", "content must be empty"),
        ({"kind": "directory"}, b"x", "content must be empty"),
        ({"kind": "symlink", "target": "t"}, b"x", "content must be empty"),
        ({"kind": "symlink", "size": 0}, b"", "target must be the link's target; got None"),
        ({"kind": "symlink", "size": 0, "target": "a\0"}, b"", "target must be"),
        ({"kind": "special", "size": 0}, b"", "kind must be one of file, directory, symlink;"),
        ({"change": "moved"}, b"x", "change must be one of added, modified, deleted; got 'moved'"),
        ({"mode": -1}, b"x", "mode must be a number from 0 to 0o7777"),
        ({"mode": 0o10000}, b"x", "mode must be"),
        ({"mode": "644"}, b"x", "mode must be"),
        ({"links": None}, b"x", "links must be"),
        *(
            ({"path": path}, b"x", "path must be a path within the workspace")
            for path in ("", "/a", "a//b", "../a", "a/..", ".", "a/", "a\0b", "\ud800", None)
        ),
    ],
)
def test_a_snapshot_with_an_entry_that_cannot_be_made_says_which(
    fields: dict[str, object], content: object, said: str
) -> None:
    wrong = replace(FILE, **fields)  # type: ignore[arg-type]
    snapshot = Snapshot((FILE, wrong), (b"x", content))  # type: ignore[arg-type]
    with pytest.raises(BadOption, match=r"^Snapshot: changes\[1\], .*: " + re.escape(said)):
        snapshot.check()


def test_a_snapshot_has_one_content_for_each_change() -> None:
    with pytest.raises(BadOption, match=r"one item for each of the 1 changes; got 2"):
        Snapshot((FILE,), (b"x", b"y")).check()
    gone = (replace(FILE, change="deleted", kind="special", size=0), replace(FILE, path="\udcff"))
    Snapshot(gone, (b"", b"x")).check()

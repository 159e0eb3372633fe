"""Limits, and output as people and models are shown it."""

from __future__ import annotations

import pickle
import sys
import time
import unicodedata

import pytest

from srl_env.errors import BadOption
from srl_env.sandbox import Change, CommandResult, Limits, Snapshot, printable
from srl_env.text import escaped


def test_a_limit_must_be_positive() -> None:
    with pytest.raises(BadOption, match=r"processes=0; a positive number is expected"):
        Limits(processes=0)
    with pytest.raises(BadOption, match="memory_bytes=nan"):
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
    result = CommandResult("output", -9, b"head" + b"tail", 1000, b"", 0, 0.1)
    assert result.text() == "head\n[... 992 bytes left out ...]\ntail"
    assert not result.ok


def test_only_an_exit_with_status_0_is_ok() -> None:
    assert CommandResult("exited", 0, b"", 0, b"", 0, 0.1).ok
    assert not CommandResult("exited", 1, b"", 0, b"", 0, 0.1).ok
    assert not CommandResult("timeout", 0, b"", 0, b"", 0, 0.1).ok


def test_a_snapshot_can_be_pickled() -> None:
    snapshot = Snapshot((Change("added", "\udcff", "file", 0o644, 1, 1),), (b"x",))
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot

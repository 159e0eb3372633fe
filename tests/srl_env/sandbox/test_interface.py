"""Limits, and output as people and models are shown it."""

from __future__ import annotations

import pickle
import time

import pytest

from srl_env.errors import BadOption
from srl_env.sandbox import Change, CommandResult, Limits, Snapshot, printable


def test_a_limit_must_be_positive() -> None:
    with pytest.raises(BadOption, match=r"processes=0; a positive number is expected"):
        Limits(processes=0)
    with pytest.raises(BadOption, match="timeout_s=nan"):
        Limits(timeout_s=float("nan"))


def test_terminal_sequences_go_and_other_controls_are_spelled_out() -> None:
    assert printable(b"\x1b[31;1mred\x1b[0m\ttab\r\nline\x07\x00") == "red\ttab\nline\\x07\\x00"
    assert printable("über".encode()) == "über"
    assert printable(b"\xff") == "\ufffd"


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

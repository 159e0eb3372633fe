"""Frames between controller and keeper."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from srl_env.sandbox.inside.wire import Wire


@pytest.fixture
def ends() -> Iterator[tuple[Wire, Wire, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield Wire(one.fileno(), one.fileno()), Wire(other.fileno(), other.fileno()), one


def test_a_frame_arrives_as_it_was_sent(ends: tuple[Wire, Wire, socket.socket]) -> None:
    one, other, _ = ends
    header, payload = {"path": "a\udcff\n\0"}, bytes(range(256)) * 20_000
    sender = threading.Thread(target=one.send, args=(header, payload))
    sender.start()
    assert other.receive(10) == (header, payload)
    sender.join()


def test_an_end_that_is_gone_is_an_end_of_file(ends: tuple[Wire, Wire, socket.socket]) -> None:
    _, other, ours = ends
    ours.close()
    with pytest.raises(EOFError, match="gone"):
        other.receive()


def test_a_silent_end_is_a_timeout(ends: tuple[Wire, Wire, socket.socket]) -> None:
    with pytest.raises(TimeoutError, match="in time"):
        ends[1].receive(0.05)


def test_lengths_no_honest_peer_sends_are_refused(ends: tuple[Wire, Wire, socket.socket]) -> None:
    ends[2].send(struct.pack(">IQ", 10, 1 << 60))
    with pytest.raises(ValueError, match="frame of 10"):
        ends[1].receive(1)

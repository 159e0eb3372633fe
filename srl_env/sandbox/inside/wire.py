"""Framed messages between controller and keeper: a JSON header and raw bytes.

A frame is two big-endian lengths (4 bytes for the header, 8 for the payload), the header as
JSON, the payload. Paths travel as text with surrogate escapes, so any file name survives.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any, Final

Header = dict[str, Any]
_LENGTHS: Final = struct.Struct(">IQ")
_MAX_HEADER, _MAX_PAYLOAD = 64 << 20, 4 << 30
_CHUNK: Final = 1 << 18


class Wire:
    """One end of a connection, over two descriptors (equal for a socket)."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing

    def send(self, header: Header, payload: bytes = b"") -> None:
        """Writes one frame. Raises OSError (EPIPE, ECONNRESET) where the other end is gone."""
        text = json.dumps(header).encode()
        write_all(self.writing, _LENGTHS.pack(len(text), len(payload)) + text)
        write_all(self.writing, payload)

    def receive(self, timeout_s: float | None = None) -> tuple[Header, bytes]:
        """The next frame.

        Raises EOFError when the other end is gone, TimeoutError after timeout_s, ValueError
        on lengths no honest peer sends.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        header_length, payload_length = _LENGTHS.unpack(self._read(_LENGTHS.size, deadline))
        if header_length > _MAX_HEADER or payload_length > _MAX_PAYLOAD:
            raise ValueError(f"frame of {header_length} + {payload_length} bytes")
        header: Header = json.loads(self._read(header_length, deadline))
        return header, self._read(payload_length, deadline)

    def _read(self, length: int, deadline: float | None) -> bytes:
        parts: list[bytes] = []
        while length:
            if deadline is not None and not readable(self.reading, deadline - time.monotonic()):
                raise TimeoutError("no answer in time")
            part = os.read(self.reading, min(length, _CHUNK))
            if not part:
                raise EOFError("the other end is gone")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of the data, however many calls that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view[:_CHUNK]) :]


def readable(descriptor: int, timeout_s: float) -> bool:
    """Whether a descriptor becomes readable in time, as a process handle does at its end."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout_s) * 1000))

"""JSONL files as runs leave them: perhaps still being written, perhaps cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from srl_env.errors import BadData, BadOption

Line = tuple[int, dict[str, Any]]
"""Where a line begins in its file, in bytes, and what it says."""


def read_lines(path: Path) -> Iterator[Line]:
    """The objects in a JSONL file.

    A last line without its end (a run at work, or killed) is left out. Raises BadData for any
    other line that is no JSON object, BadOption where the file cannot be read.
    """
    for number, offset, line in _raw(path):
        if line.endswith(b"\n"):
            yield offset, _object(path, number, line)


def read_line(path: Path, offset: int) -> dict[str, Any]:
    """The object that begins at an offset which ``read_lines`` gave."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return _object(path, 0, file.readline())
    except OSError as error:
        raise _unreadable(path, error) from error


def read_object(path: Path) -> dict[str, Any]:
    """The one JSON object in a file; BadOption or BadData where there is none."""
    try:
        return _object(path, 1, path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error


def unfinished(path: Path) -> bool:
    """Whether the file's last line has no end."""
    try:
        with path.open("rb") as file:
            if not file.seek(0, 2):
                return False
            file.seek(-1, 2)
            return file.read() != b"\n"
    except OSError as error:
        raise _unreadable(path, error) from error


def count_in(path: Path, piece: bytes) -> int:
    """How often a piece of text stands in a file."""
    found, before = 0, b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 24):
                found += (before + chunk).count(piece)
                before = chunk[-(len(piece) - 1) :]
    except OSError as error:
        raise _unreadable(path, error) from error
    return found


def _raw(path: Path) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield number, offset, line
                offset += len(line)
    except OSError as error:
        raise _unreadable(path, error) from error


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise BadData(f"{path}:{number}: not JSON ({error}); the file is damaged") from None
    if not isinstance(value, dict):
        raise BadData(f"{path}:{number}: a JSON object is expected; got {type(value).__name__}")
    return value


def _unreadable(path: Path, error: OSError) -> BadOption:
    return BadOption(f"{path} cannot be read: {error.strerror}")

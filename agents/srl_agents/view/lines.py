"""JSON and JSONL files of runs, which may still be written or may be truncated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from srl_env.errors import BadData, BadOption


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise BadOption(f"{path} cannot be read: {error.strerror}") from error


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in a JSONL file, without a last line that has no end.

    Raises BadData for any other line that is not a JSON object, BadOption if the file cannot be
    read.
    """
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield _object(path, number, line)


def read_object(path: Path) -> dict[str, Any]:
    """The one JSON object in a file; BadOption or BadData if there is none."""
    with _opened(path) as file:
        return _object(path, 1, file.read())


def unfinished(path: Path) -> bool:
    """Whether the file's last line has no end."""
    with _opened(path) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        return file.read() not in (b"", b"\n")


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise BadData(f"{path}:{number}: not JSON ({error}); the file is damaged") from None
    if not isinstance(value, dict):
        raise BadData(f"{path}:{number}: must be a JSON object; got {type(value).__name__}")
    return value

"""Files that are written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def writing_whole(path: Path) -> Iterator[TextIO]:
    """The file, opened to be written; its folder is made if need be.

    It appears when all is written. A process that is killed leaves the old file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    with draft.open("w", encoding="utf-8", newline="\n") as file:
        yield file
    draft.replace(path)


def write_whole(path: Path, text: str) -> None:
    """Writes the file with ``writing_whole``."""
    with writing_whole(path) as file:
        file.write(text)


def write_json(path: Path, data: Any) -> None:
    """Writes JSON with ``write_whole``."""
    write_whole(path, json.dumps(data, indent=1) + "\n")

"""Files that are written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_whole(path: Path, text: str) -> None:
    """Writes the file, and its folder if need be. A process that is killed leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text, encoding="utf-8", newline="\n")
    draft.replace(path)


def write_json(path: Path, data: Any) -> None:
    """Writes JSON with ``write_whole``."""
    write_whole(path, json.dumps(data, indent=1) + "\n")

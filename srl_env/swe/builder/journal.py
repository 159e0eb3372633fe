"""What a build has found out so far, a line each, so that it can be killed and goes on.

A journal is a cache: results by what they are the result of. Going on means doing the whole build
again with it, which ends as the uninterrupted one would have.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from srl_env.errors import BadOption


class Journal:
    """Results by stage and key, in a file that each is written to as it comes.

    about: what all results hang on; a file of something else raises BadOption.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = _whole_lines(path)
        if lines and json.loads(lines[0]) != about:
            raise BadOption(
                f"{path} holds an unfinished build with other options or of another state of the "
                f"repository: {lines[0].decode()}; delete it to begin anew"
            )
        for line in lines[1:]:
            row = json.loads(line)
            self._found[row["stage"], row["key"]] = row["found"]
        path.write_bytes(b"".join(line + b"\n" for line in lines))  # without a line cut short
        if not lines:
            self._append(dict(about))

    def __len__(self) -> int:
        return len(self._found)

    def get(self, stage: str, key: str) -> Any | None:
        """What was found, None where nothing was yet."""
        return self._found.get((stage, key))

    def put(self, stage: str, key: str, found: Any) -> None:
        """Keeps a result, JSON data."""
        with self._lock:
            self._found[stage, key] = found
            self._append({"stage": stage, "key": key, "found": found})

    def _append(self, row: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _whole_lines(path: Path) -> list[bytes]:
    """The lines that were written to their end."""
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1].splitlines()

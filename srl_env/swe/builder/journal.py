"""The results of a build so far, so that it can be resumed.

A journal is a cache: {stage and key: result}. A resumed build repeats all its decisions with the
journal, and ends as the uninterrupted one would have.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from srl_env.errors import BadOption


def journal_path(out: Path, name: str) -> Path:
    """The journal of a build of a repository into a folder."""
    return out / ".build" / f"{name}.jsonl"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a journal, what it is about first; [] if there is none."""
    return [json.loads(line) for line in _complete_lines(path)]


class Journal:
    """Results by stage and key, appended to a file.

    about: what all results depend on. Raises BadOption for a file about something else.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = _complete_lines(path)
        if lines and json.loads(lines[0]) != about:
            raise BadOption(
                f"{path} holds an unfinished build with other options or of another state of the "
                f"repository: {lines[0].decode()}. Fix: delete it to start again"
            )
        for line in lines[1:]:
            row = json.loads(line)
            self._found[row["stage"], row["key"]] = row["found"]
        if path.exists():  # without an incomplete line
            os.truncate(path, sum(len(line) + 1 for line in lines))
        if not lines:
            self._append(about)

    def get(self, stage: str, key: str) -> Any | None:
        """The result; None where there is none."""
        return self._found.get((stage, key))

    def result(self, stage: str, key: str, compute: Callable[[], Any]) -> Any:
        """The result, JSON data, computed and kept if there is none."""
        if (stage, key) not in self._found:
            found = compute()
            with self._lock:
                self._found[stage, key] = found
                self._append({"stage": stage, "key": key, "found": found})
        return self._found[stage, key]

    def replace(self, stage: str, key: str, found: Any) -> None:
        """Keeps a result, also instead of an earlier one."""
        with self._lock:
            self._found[stage, key] = found
            self._append({"stage": stage, "key": key, "found": found})

    def stage(self, stage: str) -> dict[str, Any]:
        """The results of a stage by key."""
        return {key: found for (of, key), found in self._found.items() if of == stage}

    def _append(self, row: Mapping[str, Any]) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError:  # a full disk: what was written before stays readable
            os.truncate(self.path, size)
            raise


def _complete_lines(path: Path) -> list[bytes]:
    data = path.read_bytes() if path.exists() else b""
    return data.split(b"\n")[:-1]

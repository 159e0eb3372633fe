"""Evaluated episodes on disk: one JSON line each, and what is whole can be gone on from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from srl_env.errors import BadData
from srl_env.rollout import Episode

Key = tuple[str, int]


class EpisodeFile:
    """``episodes.jsonl``, written a part at a time.

    Each line says which part of the evaluation it belongs to (kind, part) and how many lines
    that part has (of). A part that a killed process left unfinished is cut off when the file is
    opened again.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it. Raises BadData where a line in the middle is no episode."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._lock = path, Lock()
        self._parts: dict[Key, list[Episode]] = {}
        if path.exists():
            self._parts, end = _whole_parts(path)
            with path.open("r+b") as file:
                file.truncate(end)

    def get(self, kind: str, part: int) -> list[Episode] | None:
        """The episodes of a part; None where it is not there as a whole."""
        return self._parts.get((kind, part))

    def add(self, kind: str, part: int, episodes: Sequence[Episode]) -> None:
        """Writes a part behind what is there; from any thread."""
        head = {"kind": kind, "part": part, "of": len(episodes)}
        lines = (json.dumps(head | episode.to_json()) + "\n" for episode in episodes)
        text = "".join(lines)
        with self._lock, self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
        self._parts[kind, part] = list(episodes)


def read_parts(path: Path) -> dict[Key, list[Episode]]:
    """The parts of an evaluation's ``episodes.jsonl`` that are complete; the file stays as it is.

    Raises BadData where there is no such file, or a line in the middle is no episode.
    """
    if not path.is_file():
        raise BadData(f"{path}: there is no such file; expected the episodes of an evaluation")
    return _whole_parts(path)[0]


def _whole_parts(path: Path) -> tuple[dict[Key, list[Episode]], int]:
    """The parts that are complete, and where the last of them ends in the file, in bytes."""
    parts: dict[Key, list[Episode]] = {}
    key: Key = ("", 0)
    found, end, read = list[Episode](), 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            read += len(line)
            if not line.endswith(b"\n"):
                break
            row = _row(path, number, line)
            if (row["kind"], row["part"]) != key:
                key, found = (row["kind"], row["part"]), []
            found.append(_episode(row))
            if len(found) == row["of"]:
                parts[key], end = found, read
    return parts, end


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if {"kind", "part", "of"} <= row.keys():
            return dict(row)
    except (ValueError, AttributeError):
        pass
    raise BadData(f"{path}:{number}: not an episode of an evaluation; evaluate into another folder")


def _episode(row: dict[str, Any]) -> Episode:
    return Episode.from_json({k: v for k, v in row.items() if k not in ("kind", "part", "of")})

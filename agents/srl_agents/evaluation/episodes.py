"""Evaluated episodes on disk: one JSON line each, and what was written of those that run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock

from srl_env.errors import BadData
from srl_env.policy import Generation
from srl_env.rollout import Episode

Key = tuple[str, int]
"""An episode's kind, and its place among those of the kind."""

UNFINISHED = "unfinished.json"


class EpisodeFile:
    """``episodes.jsonl``: each episode as soon as it is finished; from any thread.

    Beside it, in ``unfinished.json``, is what the policy has written in episodes that are not
    finished. A line that a killed process left incomplete is cut off when the file is opened.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it. Raises BadData where a line in the middle is no episode."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._lock = path, Lock()
        self.episodes: dict[Key, Episode] = {}
        if path.exists():
            self.episodes, end = _whole_lines(path)
            with path.open("r+b") as file:
                file.truncate(end)
        self._written = _read_unfinished(path.with_name(UNFINISHED))

    def add(self, episodes: Mapping[Key, Episode]) -> None:
        """Writes finished episodes behind those that are there."""
        with self._lock:
            with self.path.open("a", encoding="utf-8", newline="\n") as file:
                file.write("".join(_lines(episodes)))
            self.episodes.update(episodes)

    def written(self, key: Key) -> tuple[Generation, ...]:
        """What the policy had written in an episode that was interrupted."""
        return tuple(self._written.get(key, ()))

    def keep(self, written: Mapping[Key, Sequence[Generation]]) -> None:
        """Notes what the policy has written in episodes that are not finished."""
        with self._lock:
            self._written.update(written)
            left = {k: w for k, w in self._written.items() if k not in self.episodes}
            rows = [
                {"kind": kind, "place": place, "written": [one.to_json() for one in made]}
                for (kind, place), made in left.items()
            ]
            _replace(self.path.with_name(UNFINISHED), [json.dumps(rows) + "\n"])

    def finish(self, order: Sequence[Key]) -> None:
        """Puts all episodes in that order, so that nothing is left of how they came about."""
        with self._lock:
            if list(self.episodes) != list(order):
                self.episodes = {key: self.episodes[key] for key in order}
                _replace(self.path, _lines(self.episodes))
            self.path.with_name(UNFINISHED).unlink(missing_ok=True)


def read_episodes(path: Path) -> dict[Key, Episode]:
    """The episodes in an evaluation's ``episodes.jsonl``; the file stays as it is.

    Raises BadData where there is no such file, or a line in the middle is no episode.
    """
    if not path.is_file():
        raise BadData(f"{path}: there is no such file; expected the episodes of an evaluation")
    return _whole_lines(path)[0]


def _lines(episodes: Mapping[Key, Episode]) -> Iterable[str]:
    for (kind, place), episode in episodes.items():
        yield json.dumps({"kind": kind, "place": place} | episode.to_json()) + "\n"


def _whole_lines(path: Path) -> tuple[dict[Key, Episode], int]:
    """The episodes whose lines are complete, and where the last of them ends, in bytes."""
    episodes: dict[Key, Episode] = {}
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                row = json.loads(line)
                key = str(row.pop("kind")), int(row.pop("place"))
                episodes[key] = Episode.from_json(row)
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                raise BadData(
                    f"{path}:{number}: must be an episode of an evaluation; got {line[:40]!r}. Fix:"
                    " evaluate into another folder"
                ) from error
            end += len(line)
    return episodes, end


def _read_unfinished(path: Path) -> dict[Key, Sequence[Generation]]:
    if not path.is_file():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {
            (row["kind"], row["place"]): tuple(map(Generation.from_json, row["written"]))
            for row in rows
        }
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(
            f"{path}: it must hold what unfinished episodes have written; got {error!r}. Fix:"
            " delete it; those episodes then begin again"
        ) from error


def _replace(path: Path, lines: Iterable[str]) -> None:
    """Writes the file whole or not at all."""
    draft = path.with_name(f".{path.name}.part")
    with draft.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
    draft.replace(path)

"""Evaluated episodes on disk: one JSON line each, and the texts of unfinished ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from srl_agents.evaluation.plan import Key, Planned
from srl_agents.runs.files import write_json, write_whole
from srl_env.errors import BadData
from srl_env.policy import Generation
from srl_env.problem import ProblemSource
from srl_env.rollout import Episode

UNFINISHED = "unfinished.json"


class EpisodeFile:
    """``episodes.jsonl``: each episode as soon as it is finished.

    ``unfinished.json`` beside it holds what the policy has written in unfinished episodes. A line
    that a killed process left incomplete is removed when the file is opened. For one thread at a
    time.
    """

    def __init__(self, path: Path | None) -> None:
        """Opens or makes the file; None keeps the episodes in memory only.

        Raises BadData for a complete line that is not an episode.
        """
        self.path = path
        self.episodes: dict[Key, Episode] = {}
        self._written: dict[Key, Sequence[Generation]] = {}
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self.episodes, end = _complete_lines(path)
            with path.open("r+b") as file:
                file.truncate(end)
        self._written = _read_unfinished(path.with_name(UNFINISHED))

    def check(self, plan: Sequence[Planned], source: ProblemSource) -> None:
        """Raises BadData if the file has episodes that are not of this plan."""
        known = {planned.key: planned for planned in plan}
        for key, episode in self.episodes.items():
            path = self.path or Path("episodes")
            if key not in known:
                raise BadData(
                    f"{path}: {key[0]} episode {key[1]} is not part of an evaluation with these"
                    " settings. Fix: evaluate into another folder"
                )
            known[key].check(episode, source, path)

    def add(self, episodes: Mapping[Key, Episode]) -> None:
        """Appends finished episodes."""
        self.episodes.update(episodes)
        if self.path is not None and episodes:
            with self.path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(_lines(episodes))

    def written(self, key: Key) -> tuple[Generation, ...]:
        """What the policy had written in an interrupted episode."""
        return tuple(self._written.get(key, ()))

    def save_unfinished(self, written: Mapping[Key, Sequence[Generation]]) -> None:
        """Saves what the policy has written in unfinished episodes."""
        if self.path is None or not written:
            return
        self._written.update(written)
        rows = [
            {"kind": kind, "place": place, "written": [one.to_json() for one in made]}
            for (kind, place), made in self._written.items()
            if (kind, place) not in self.episodes
        ]
        write_json(self.path.with_name(UNFINISHED), rows)

    def finish(self, order: Sequence[Key]) -> None:
        """Sorts the episodes by that order, so that the file does not depend on interruptions."""
        if self.path is None:
            return
        if list(self.episodes) != list(order):
            self.episodes = {key: self.episodes[key] for key in order}
            write_whole(self.path, _lines(self.episodes))
        self.path.with_name(UNFINISHED).unlink(missing_ok=True)


def read_episodes(path: Path) -> dict[Key, Episode]:
    """The episodes in an evaluation's ``episodes.jsonl``, which is not changed.

    Raises BadData for a missing file, and for a complete line that is not an episode.
    """
    if not path.is_file():
        raise BadData(f"{path} must hold the episodes of an evaluation; got no such file")
    return _complete_lines(path)[0]


def _lines(episodes: Mapping[Key, Episode]) -> str:
    rows = ({"kind": k, "place": p} | episode.to_json() for (k, p), episode in episodes.items())
    return "".join(json.dumps(row) + "\n" for row in rows)


def _complete_lines(path: Path) -> tuple[dict[Key, Episode], int]:
    """The episodes of the complete lines, and where the last of these ends, in bytes."""
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
            f"{path}: must hold the texts of unfinished episodes; got {error!r}. Fix: delete it;"
            " these episodes then start again"
        ) from error

"""Episodes of a person, on disk as canonical rows that ``srl_env.data.JsonlSource`` reads.

``played.jsonl`` holds every episode, also abandoned and wrong ones, under ids of their own.
``expert.jsonl`` holds correct solutions of whole problems in the person's own steps, under the
problems' ids: a file of expert trajectories, e.g. for ``steps:expert.jsonl``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from srl_env.data import JsonlSource, write_jsonl
from srl_env.problem import ExpertTrajectory, Problem

PLAYED, EXPERT, SOURCE = "played.jsonl", "expert.jsonl", "human"


class Recording:
    """A folder of played episodes; another session adds to it."""

    def __init__(self, folder: Path) -> None:
        """Reads the folder. Raises BadData if its files hold something else."""
        self.folder = folder
        self._played = _read(folder / PLAYED)
        self._experts = {problem.id: problem for problem in _read(folder / EXPERT)}

    def add(self, problem: Problem, trajectory: ExpertTrajectory, about: Mapping[str, Any]) -> Path:
        """Writes an episode; returns the file that shows it best.

        about: further facts. A correct solution in the person's own steps also becomes an expert.
        """
        row = replace(
            problem,
            id=f"{problem.id}#{len(self._played) + 1}",
            trajectories=(trajectory,),
            metadata={**problem.metadata, "played": {"problem_id": problem.id, **about}},
        )
        self._played.append(row)
        write_jsonl(self.folder / PLAYED, self._played)
        if not about["correct"] or about["continuation"] != "policy":
            return self.folder / PLAYED
        known = self._experts.get(problem.id, replace(problem, trajectories=()))
        different = dict.fromkeys((*known.trajectories, trajectory))
        self._experts[problem.id] = replace(problem, trajectories=tuple(different))
        write_jsonl(self.folder / EXPERT, self._experts.values())
        return self.folder / EXPERT


def _read(file: Path) -> list[Problem]:
    return list(JsonlSource(file)) if file.exists() else []

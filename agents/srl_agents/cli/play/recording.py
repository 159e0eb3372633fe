"""Episodes of a person, on disk as canonical rows that ``srl_env.data.JsonlSource`` reads.

``played.jsonl`` holds every episode, also abandoned and wrong ones, under ids of their own.
``expert.jsonl`` holds correct solutions of whole problems in the person's own steps, under the
problems' ids: a file of expert trajectories, e.g. for ``steps:expert.jsonl``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

from srl_env.data import JsonlSource, write_jsonl
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.rewards import Continuation
from srl_env.text.prompt import Turn

PLAYED, EXPERT, SOURCE = "played.jsonl", "expert.jsonl", "human"


@dataclass(frozen=True, slots=True)
class PersonStep:
    """A person's step. hints: number of hints before it."""

    step: ExpertStep
    reward: float
    hints: int


@dataclass(frozen=True, slots=True)
class PersonEpisode:
    """An episode of a person. correct: None if it did not end.

    prefix: the expert steps that it started with.
    """

    problem: Problem
    prefix: Sequence[Turn]
    steps: tuple[PersonStep, ...]
    reward_mode: str
    continuation: Continuation
    correct: bool | None

    @property
    def is_solution(self) -> bool:
        """Whether it is a correct solution in the person's own steps."""
        return self.correct is True and self.continuation == "policy"

    @property
    def trajectory(self) -> ExpertTrajectory:
        """The prefix and the person's steps, without empty ones."""
        given = [ExpertStep(turn.action, observation=turn.observation) for turn in self.prefix]
        steps = [*given, *(each.step for each in self.steps)]
        return ExpertTrajectory(tuple(step for step in steps if step.action.strip()), SOURCE)


class Recording:
    """A folder of played episodes; another session adds to it."""

    def __init__(self, folder: Path) -> None:
        """Reads the folder. Raises BadData if its files hold something else."""
        self.folder = folder
        self._played = _read(folder / PLAYED)
        self._experts = {problem.id: problem for problem in _read(folder / EXPERT)}

    def add(self, episode: PersonEpisode) -> Path:
        """Writes an episode, and a correct solution also as an expert; returns the best file."""
        self._played.append(_row(episode, len(self._played) + 1))
        write_jsonl(self.folder / PLAYED, self._played)
        if not episode.is_solution:
            return self.folder / PLAYED
        problem = episode.problem
        known = self._experts.get(problem.id, replace(problem, trajectories=()))
        different = dict.fromkeys((*known.trajectories, episode.trajectory))
        self._experts[problem.id] = replace(problem, trajectories=tuple(different))
        write_jsonl(self.folder / EXPERT, self._experts.values())
        return self.folder / EXPERT


def _row(episode: PersonEpisode, number: int) -> Problem:
    about = {
        "problem_id": episode.problem.id,
        "reward_mode": episode.reward_mode,
        "continuation": episode.continuation,
        "correct": episode.correct,
        "start_step": len(episode.prefix),
        "rewards": [None if isnan(each.reward) else each.reward for each in episode.steps],
        "hints": [each.hints for each in episode.steps],
    }
    return replace(
        episode.problem,
        id=f"{episode.problem.id}#{number}",
        trajectories=(episode.trajectory,),
        metadata={**episode.problem.metadata, "played": about},
    )


def _read(file: Path) -> list[Problem]:
    return list(JsonlSource(file)) if file.exists() else []

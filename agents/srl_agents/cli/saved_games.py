"""What a person played, on disk: canonical rows, which ``srl_env.data.JsonlSource`` reads.

``played.jsonl`` holds every episode, also given up and wrong ones, under ids of their own.
``expert.jsonl`` holds the right solutions of whole problems in one's own steps, under the
problems' ids: a file of expert trajectories, e.g. for ``steps:expert.jsonl``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from srl_env.data import JsonlSource, write_jsonl
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.rewards import Continuation
from srl_env.text.prompt import Turn

PLAYED, EXPERT, SOURCE = "played.jsonl", "expert.jsonl", "human"


@dataclass(frozen=True, slots=True)
class PlayedStep:
    """A step that a person took. hints: how many were asked for before it."""

    index: int
    action: str
    thought: str | None
    observation: str | None
    reward: float
    hints: int


@dataclass(frozen=True, slots=True)
class Played:
    """An episode that a person played; ``correct`` is None where it did not end.

    prefix: the expert's steps that it began with.
    """

    problem: Problem
    prefix: Sequence[Turn]
    steps: tuple[PlayedStep, ...]
    reward_mode: str
    continuation: Continuation
    correct: bool | None

    @property
    def is_solution(self) -> bool:
        """Whether it is a right solution in the person's own steps."""
        return self.correct is True and self.continuation == "policy"

    def trajectory(self) -> ExpertTrajectory:
        """The steps as an expert's: those it began with too, those that say nothing left out."""
        given = [ExpertStep(turn.action, observation=turn.observation) for turn in self.prefix]
        own = [
            ExpertStep(step.action, thought=step.thought, observation=step.observation)
            for step in self.steps
        ]
        return ExpertTrajectory(tuple(s for s in [*given, *own] if s.action.strip()), SOURCE)


class Book:
    """A folder with what was played; another session adds to what is there."""

    def __init__(self, folder: Path) -> None:
        """Reads what the folder has. Raises ``BadData`` where that is something else."""
        self.folder = folder
        self._played = _read(folder / PLAYED)
        self._experts = {problem.id: problem for problem in _read(folder / EXPERT)}

    def add(self, played: Played) -> None:
        """Writes an episode, and with a right solution the file of experts too."""
        self._played.append(_row(played, len(self._played) + 1))
        write_jsonl(self.folder / PLAYED, self._played)
        if played.is_solution:
            known = self._experts.get(played.problem.id)
            before = known.trajectories if known else ()
            ways = dict.fromkeys((*before, played.trajectory()))
            self._experts[played.problem.id] = replace(played.problem, trajectories=tuple(ways))
            write_jsonl(self.folder / EXPERT, self._experts.values())

    def where(self, played: Played) -> Path:
        """The file that shows an episode best."""
        return self.folder / (EXPERT if played.is_solution else PLAYED)


def _row(played: Played, number: int) -> Problem:
    about = {
        "problem_id": played.problem.id,
        "reward_mode": played.reward_mode,
        "continuation": played.continuation,
        "correct": played.correct,
        "start_step": len(played.prefix),
        "rewards": [step.reward if step.reward == step.reward else None for step in played.steps],
        "hints": [step.hints for step in played.steps],
    }
    return replace(
        played.problem,
        id=f"{played.problem.id}#{number}",
        trajectories=(played.trajectory(),),
        metadata={**played.problem.metadata, "played": about},
    )


def _read(file: Path) -> list[Problem]:
    return list(JsonlSource(file)) if file.exists() else []

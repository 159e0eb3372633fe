"""A folder of tasks as the problems of an environment."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, get_args

from srl_env.errors import BadOption, UnknownName
from srl_env.problem import Problem
from srl_env.swe.task_folder import TaskSet

Split = Literal["train", "dev", "test", "all"]

SHIPPED: Final = Path(__file__).parent / "shipped"


class TaskProblems:
    """Selected tasks of a folder (``TaskSet.select``); ``name`` describes the selection.

    Raises ``BadData`` for a folder without tasks, ``UnknownName`` and ``BadOption`` for a wrong
    selection.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        split: Split = "train",
        repos: Sequence[str] | None = None,
        max_difficulty: float = 1.0,
    ) -> None:
        if split not in get_args(Split):
            raise UnknownName("split", str(split), get_args(Split))
        if isinstance(repos, str):
            raise BadOption(f"repos must be a list of names, e.g. [{repos!r}]; got {repos!r}")
        self.tasks = _open_tasks(Path(folder).absolute())
        self.ids = self.tasks.select(
            split=None if split == "all" else split, repos=repos, max_difficulty=max_difficulty
        )
        chosen = ",".join(sorted(repos)) if repos else "all"
        self.name = f"swe/{self.tasks.name}/{split}/{chosen}/{max_difficulty:g}"
        self._numbers = {task_id: number for number, task_id in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Problem:
        return self.tasks.task(self.ids[index]).to_problem()

    def index_of(self, problem_id: str) -> int:
        """The index of the task with that id; ``UnknownName`` if it is not selected."""
        if problem_id not in self._numbers:
            raise UnknownName("task", problem_id, self._numbers)
        return self._numbers[problem_id]


@functools.lru_cache(maxsize=8)
def _open_tasks(folder: Path) -> TaskSet:
    """The tasks of a folder, opened once for all environments of a process."""
    return TaskSet(folder)

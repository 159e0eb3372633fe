"""Saved evaluations, opened to look at them again: what was run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from srl_agents.evaluation.episodes import read_episodes
from srl_agents.evaluation.run import (
    Planned,
    Run,
    check_saved,
    choose_problems,
    plan_episodes,
    split_maker,
)
from srl_agents.evaluation.scoring import Kind
from srl_agents.runs.evaluation import EvaluationConfig
from srl_agents.runs.settings import read_tree
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData
from srl_env.rollout import Episode

SETTINGS, EPISODES, RESULT = "settings.json", "episodes.jsonl", "result.json"


@dataclass(frozen=True, slots=True)
class SavedEvaluation:
    """An evaluation's folder.

    record: what ``srl-env eval`` was given. settings: how it evaluated. make_env: an environment
    as it was evaluated in. runs: the episodes that are there, with where each began; of a problem
    all of its kind, or none.
    """

    folder: Path
    record: Mapping[str, Any]
    settings: EvaluationConfig
    make_env: Callable[[], ReasoningEnv]
    runs: tuple[Run, ...]

    def by_problem(self, kind: Kind = "sampled") -> Iterator[tuple[int, Sequence[Episode]]]:
        """(index of a problem in its source, its episodes of a kind), in order."""
        for index, group in groupby(
            (run for run in self.runs if run[0].kind == kind),
            key=lambda run: run[0].start.options["problem"],
        ):
            yield index, [episode for _, episode in group]


def open_evaluation(folder: Path) -> SavedEvaluation:
    """The evaluation in a folder, finished or not; nothing in the folder changes.

    Raises BadData where there is none or its episodes cannot be read, UnknownName and BadOption
    where its environment is not there any more.
    """
    if not (folder / SETTINGS).is_file():
        raise BadData(f"{folder}: no {SETTINGS} in it; expected a folder that srl-env eval wrote")
    record = read_tree(folder / SETTINGS)
    settings = EvaluationConfig(**record["settings"])
    make_env = split_maker(record["env"], record["arguments"], record["split"])
    env = make_env()
    plan = plan_episodes(choose_problems(env.problems, settings), settings)
    file = folder / EPISODES
    found = read_episodes(file)
    for planned in plan:
        if planned.key in found:
            check_saved(planned, found[planned.key], env.problems, file)
    env.close()
    lacking = {_problem(planned) for planned in plan if planned.key not in found}
    runs = tuple((p, found[p.key]) for p in plan if _problem(p) not in lacking)
    if not runs:
        raise BadData(f"{file}: no problem has all its episodes yet; resume the evaluation")
    return SavedEvaluation(folder, record, settings, make_env, runs)


def _problem(planned: Planned) -> tuple[str, int]:
    return planned.kind, planned.start.group

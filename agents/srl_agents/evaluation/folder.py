"""Saved evaluations: what was evaluated, and its episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from srl_agents.evaluation.episodes import read_episodes
from srl_agents.evaluation.plan import (
    Finished,
    Kind,
    choose_problems,
    plan_episodes,
    split_maker,
)
from srl_agents.runs.evaluation import EvaluationConfig
from srl_agents.runs.settings import read_tree
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData
from srl_env.rollout import Episode

SETTINGS, EPISODES, RESULT = "settings.json", "episodes.jsonl", "result.json"


@dataclass(frozen=True, slots=True)
class SavedEvaluation:
    """An evaluation's folder.

    record: the arguments of ``srl-env eval``. settings: how it evaluated. make_env: makes an
    environment like the evaluated one. source: the name of its problems. finished: the episodes,
    with their plans; of each problem all episodes of a kind, or none.
    """

    folder: Path
    record: Mapping[str, Any]
    settings: EvaluationConfig
    make_env: Callable[[], ReasoningEnv]
    source: str
    finished: tuple[Finished, ...]

    def by_problem(self, kind: Kind = "sampled") -> Iterator[tuple[int, Sequence[Episode]]]:
        """(index of a problem in its source, its episodes of a kind), in order."""
        for index, group in groupby(
            (pair for pair in self.finished if pair[0].kind == kind),
            key=lambda pair: pair[0].start.options["problem"],
        ):
            yield index, [episode for _, episode in group]


def open_evaluation(folder: Path) -> SavedEvaluation:
    """The evaluation in a folder, finished or not. The folder is not changed.

    Raises BadData if there is none or its episodes cannot be read. Raises UnknownName or BadOption
    if its environment does not exist any more.
    """
    if not (folder / SETTINGS).is_file():
        raise BadData(f"{folder} must be written by srl-env eval; got no {SETTINGS} in it")
    record = read_tree(folder / SETTINGS)
    settings = EvaluationConfig(**record["settings"])
    make_env = split_maker(record["env"], record["arguments"], record["split"])
    env = make_env()
    plan = plan_episodes(choose_problems(env.problems, settings), settings)
    file = folder / EPISODES
    found = read_episodes(file)
    for planned in plan:
        if planned.key in found:
            planned.check(found[planned.key], env.problems, file)
    env.close()
    missing = {(p.kind, p.start.group) for p in plan if p.key not in found}
    finished = tuple((p, found[p.key]) for p in plan if (p.kind, p.start.group) not in missing)
    if not finished:
        raise BadData(f"{file}: no problem has all its episodes yet. Fix: resume the evaluation")
    return SavedEvaluation(folder, record, settings, make_env, env.problems.name, finished)

"""Saved evaluations: what was evaluated, and its episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srl_agents.evaluation.episodes import EPISODES, EpisodeLog
from srl_agents.evaluation.plan import Block, Finished, Kind, Plan, choose_problems, split_maker
from srl_agents.runs.evaluation import EvaluationConfig
from srl_agents.runs.settings import read_tree
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData
from srl_env.rollout import Episode

SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True)
class SavedEvaluation:
    """An evaluation's folder. Its episodes are read when they are asked for.

    record: the arguments of ``srl-env eval``. settings: how it evaluated. make_env: makes an
    environment like the evaluated one. source: the name of its problems. complete: {kind: whether
    each problem has all its episodes}; others are not read.
    """

    folder: Path
    record: Mapping[str, Any]
    settings: EvaluationConfig
    make_env: Callable[[], ReasoningEnv]
    source: str
    plan: Plan
    log: EpisodeLog
    complete: Mapping[Kind, NDArray[np.bool_]]

    def count(self, *kinds: Kind) -> int:
        """The number of episodes of some kinds, or of all."""
        return sum(
            int(self.complete[block.kind].sum()) * block.copies for block in self._blocks(kinds)
        )

    def episodes(self, *kinds: Kind) -> Iterator[Finished]:
        """The episodes of some kinds, or of all, with their plans, in order."""
        for block in self._blocks(kinds):
            for number, episode in self.log.read(block.groups(self.complete[block.kind])):
                yield self.plan[number], episode

    def by_problem(self, kind: Kind = "sampled") -> Iterator[tuple[int, Sequence[Episode]]]:
        """(index of a problem in its source, its episodes of a kind), in order."""
        for group, found in groupby(self.episodes(kind), key=lambda pair: pair[0].start.group):
            yield self.plan.indices[group], [episode for _, episode in found]

    def _blocks(self, kinds: Sequence[Kind]) -> list[Block]:
        return [block for block in self.plan.blocks if not kinds or block.kind in kinds]


def open_evaluation(folder: Path) -> SavedEvaluation:
    """The evaluation in a folder, finished or not. The folder is not changed.

    Raises BadData if there is none or its episodes cannot be read. Raises UnknownName or BadOption
    if its environment does not exist any more.
    """
    if not (folder / SETTINGS).is_file():
        raise BadData(f"{folder} must be written by srl-env eval; got no {SETTINGS} in it")
    path = folder / EPISODES
    if not path.is_dir():
        raise BadData(f"{path} must hold the episodes of an evaluation; got no such folder")
    record = read_tree(folder / SETTINGS)
    settings = EvaluationConfig(**record["settings"])
    make_env = split_maker(record["env"], record["arguments"], record["split"])
    log = EpisodeLog(path, repair=False)
    with closing(make_env()) as env:
        plan = Plan(choose_problems(env.problems, settings), settings)
        log.check(plan, env.problems)
    complete = {block.kind: block.complete(log.has) for block in plan.blocks}
    if not any(each.any() for each in complete.values()):
        raise BadData(f"{path}: no problem has all its episodes yet. Fix: resume the evaluation")
    return SavedEvaluation(
        folder, record, settings, make_env, env.problems.name, plan, log, complete
    )

"""Saved evaluations, opened to look at them again: what was run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srl_agents.config import read_tree
from srl_agents.episodes import read_parts
from srl_agents.evaluation import (
    EvalSettings,
    Part,
    by_problem,
    check_saved,
    choose_problems,
    plan_episodes,
    split_maker,
)
from srl_agents.scoring import Kind
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData
from srl_env.rollout import Episode

SETTINGS, EPISODES, RESULT = "settings.json", "episodes.jsonl", "result.json"


@dataclass(frozen=True, slots=True)
class SavedEvaluation:
    """An evaluation's folder.

    record: what ``srl-env eval`` was given. settings: how it evaluated. make_env: an environment
    as it was evaluated in. parts: the episodes that are there, with where each began.
    """

    folder: Path
    record: Mapping[str, Any]
    settings: EvalSettings
    make_env: Callable[[], ReasoningEnv]
    parts: tuple[tuple[Part, Sequence[Episode]], ...]

    def by_problem(self, kind: Kind = "sampled") -> Iterator[tuple[int, Sequence[Episode]]]:
        """(index of a problem in its source, its episodes of a kind), in order."""
        for part, episodes in self.parts:
            if part.kind == kind:
                starts = part.starts[:: part.copies]
                for start, group in zip(starts, by_problem(episodes, part), strict=True):
                    yield start.options["problem"], group


def open_evaluation(folder: Path) -> SavedEvaluation:
    """The evaluation in a folder, finished or not; nothing in the folder changes.

    Raises BadData where there is none or its episodes cannot be read, UnknownName and BadOption
    where its environment is not there any more.
    """
    if not (folder / SETTINGS).is_file():
        raise BadData(f"{folder}: no {SETTINGS} in it; expected a folder that srl-env eval wrote")
    record = read_tree(folder / SETTINGS)
    settings = EvalSettings(**{**record["settings"], "ks": tuple(record["settings"]["ks"])})
    make_env = split_maker(record["env"], record["arguments"], record["split"])
    env = make_env()
    plan = list(plan_episodes(choose_problems(env.problems, settings), settings))
    file = folder / EPISODES
    found = read_parts(file)
    parts = tuple(
        (part, check_saved(part, found[part.kind, part.number], env.problems, file))
        for part in plan
        if (part.kind, part.number) in found
    )
    env.close()
    if not parts:
        raise BadData(f"{file}: no episode is there yet; go on with the evaluation")
    return SavedEvaluation(folder, record, settings, make_env, parts)

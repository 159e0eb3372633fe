"""Which problems a model has trained on, so that evaluation never uses them.

A run's folder records what it trained on. The model it began with may come from another run. A
model without such a history, e.g. from the hub, cannot be checked.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import srl_env
from srl_agents.models.folder import looks_like_a_folder
from srl_agents.runs.config import EnvConfig, RunConfig, make_config
from srl_agents.runs.problem_file import indices_of
from srl_agents.runs.settings import read_tree
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UserError
from srl_env.problem import Problem, ProblemSource

COMPARED_BY_TEXT = 20_000
"""Larger sources are not searched for the same text under another id."""


def run_folder(path: Path) -> Path | None:
    """The training run that a path belongs to: its folder, model, or one of its checkpoints."""
    for folder in (path, *path.absolute().parents[:2]):
        if (folder / "config.json").is_file() and "budget" in read_tree(folder / "config.json"):
            return folder
    return None


def training_runs(path: str | Path) -> list[RunConfig]:
    """The runs that trained a model, the last one first; [] if none is known.

    Warns if a run began with a folder that no longer exists.
    """
    runs: list[RunConfig] = []
    visited = set[Path]()
    folder = run_folder(Path(path))
    while folder is not None and folder.resolve() not in visited:
        visited.add(folder.resolve())
        try:
            runs.append(make_config(read_tree(folder / "config.json")))
        except UserError as error:
            raise BadOption(
                f"{folder / 'config.json'} cannot be read as a run's: {error}"
            ) from error
        folder = run_folder(_beginning(folder, runs[-1]))
    return runs


def _beginning(folder: Path, run: RunConfig) -> Path:
    """The model that a run began with.

    A relative path starts where training was started. That is found from the run's folder, now and
    in its configuration, even if both have moved.
    """
    given, here, out = run.model.path, folder.resolve(), Path(run.out).parts
    tail = len(out)
    start = Path(*here.parts[:-tail]) if here.parts[-tail:] == out else Path.cwd()
    found = start / given
    if not found.exists() and looks_like_a_folder(given):
        warnings.warn(
            f"{folder} began with {given}, which no longer exists, so the problems that this model "
            "was trained on before are unknown",
            stacklevel=2,
        )
    return found


def check_unseen(problems: Sequence[Problem], runs: Iterable[RunConfig]) -> None:
    """Raises BadOption if a run trained on any of the problems."""
    for run in runs:
        for settings in run.environments.values():
            env = srl_env.make(settings.id, **settings.options).unwrapped
            assert isinstance(env, ReasoningEnv), "the run could not have trained on anything else"
            only = _trained_on(settings, env.problems)
            seen = seen_problems(problems, env.problems, only)
            env.close()
            if seen:
                raise BadOption(
                    f"{len(seen)} of the {len(problems)} problems were trained on in {run.out}"
                    f" (e.g. {seen[0].id!r} of {env.problems.name}); evaluate on others, for"
                    " example with split 'test'"
                )


def _trained_on(settings: EnvConfig, source: ProblemSource) -> frozenset[int] | None:
    """The indices that a run trained on; None for all, also if its file of ids is gone."""
    file = Path(settings.problems or "")
    return frozenset(indices_of(file, source)) if file.is_file() else None


def seen_problems(
    problems: Iterable[Problem], source: ProblemSource, only: Collection[int] | None = None
) -> list[Problem]:
    """The problems that a source has too, by id and text, or by text if it is small.

    only: indices of the source, None for all.
    """
    indices: Collection[int] = range(len(source)) if only is None else only
    texts = frozenset[str]()
    if len(indices) <= COMPARED_BY_TEXT:
        texts = frozenset(source[i].prompt for i in indices)
    return [p for p in problems if p.prompt in texts or _has(source, indices, p)]


def _has(source: ProblemSource, indices: Collection[int], problem: Problem) -> bool:
    try:
        index = source.index_of(problem.id)
    except UserError:
        return False
    return index in indices and source[index].prompt == problem.prompt

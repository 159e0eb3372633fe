"""Checks of what a run is given from outside: the environment, its problems, the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srl_agents.methods.shipped import get_method, methods
from srl_agents.models.folder import check_model
from srl_agents.runs.config import EnvConfig, RunConfig
from srl_agents.runs.environment import make_env
from srl_agents.runs.problem_file import indices_of, read_problem_ids
from srl_env.errors import BadOption
from srl_env.problem import ProblemSource
from srl_env.registration.ids import offline_arguments

_MOST_READ = 1024  # problems, twice


def check_inputs(config: RunConfig) -> None:
    """Raises what training would raise, without network and without weights.

    UnknownName and BadOption for the environment and its arguments, BadOption for a folder
    without a model, BadData for the file of problems, BadOption for a method on data that lacks the
    demonstrations it needs. Problems of the hub are not loaded.
    """
    check_model(config.model.path)
    sample = _instead_of_the_hub(config.env)
    env = make_env(config.env, **sample)
    only = None
    if config.env.problems is not None:
        file = Path(config.env.problems)
        only = None if sample and read_problem_ids(file) else indices_of(file, env.problems)
    _check_demonstrations(config, env.problems, only)
    env.close()


def _check_demonstrations(
    config: RunConfig, problems: ProblemSource, only: Sequence[int] | None
) -> None:
    """Raises BadOption if the method needs expert trajectories and no problem has one.

    Of many problems, the first ones and some of the others are read.
    """
    if not config.resolved_method.needs_demonstrations:
        return
    indices = range(len(problems)) if only is None else only
    some = [*indices[:_MOST_READ], *indices[_MOST_READ :: max(1, len(indices) // _MOST_READ)]]
    if any(problems[index].trajectories for index in some):
        return
    others = [name for name in methods() if not get_method(name).needs_demonstrations]
    raise BadOption(
        f"method {config.resolved_method.name!r} must have problems with expert trajectories; got"
        f" none in the {len(some)} that were read of {problems.name}. Fix: use data with"
        f" solutions in steps, or a method that needs none: {', '.join(others)}"
    )


def _instead_of_the_hub(settings: EnvConfig) -> dict[str, Any]:
    """The arguments for the sample that ships, if problems come from the hub; else {}."""
    from_hub = settings.options.get("source", "hub") == "hub" and not settings.options.get("path")
    offline = offline_arguments(settings.id) if from_hub else {}
    return offline if "source" in offline else {}

"""Checks of what a run is given from outside: the environment, its problems, the model."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from srl_agents.models.folder import check_model
from srl_agents.objectives.teacher import OWN_WEIGHTS, is_server
from srl_agents.runs.config import EnvConfig, RunConfig
from srl_agents.runs.environment import make_env
from srl_agents.runs.needs import check_needs
from srl_agents.runs.problem_file import indices_of, read_problem_ids
from srl_env.errors import UnknownName
from srl_env.registration.ids import offline_arguments
from srl_env.rewards import get_reward_mode


def check_inputs(config: RunConfig) -> None:
    """Raises what training would raise, without network and without weights.

    UnknownName and BadOption for the environment and its arguments, BadOption for a folder
    without a model, BadData for the file of problems, BadOption for a method on data that lacks
    what it needs, UnknownName and BadOption for a measure that the environment does not have.
    Problems of the hub are not loaded.
    """
    check_model(config.model.path)
    for name in config.teachers:
        if name not in OWN_WEIGHTS and not is_server(name):
            if difflib.get_close_matches(name, OWN_WEIGHTS, n=1) and not Path(name).is_dir():
                raise UnknownName("teacher", name, OWN_WEIGHTS)
            check_model(name)
    for name, given in config.environments.items():
        _check_environment(config, name, given)
    for each in config.envs:
        if each.episode.reward_mode is not None:
            get_reward_mode(each.episode.reward_mode)


def _check_environment(config: RunConfig, name: str, given: EnvConfig) -> None:
    """Raises what training on it would raise."""
    sample = _instead_of_the_hub(given)
    settings = given.model_copy(update={"experts": None}) if sample else given
    env = make_env(settings, **sample)
    only = None
    if given.problems is not None:
        file = Path(given.problems)
        only = None if sample and read_problem_ids(file) else indices_of(file, env.problems)
    check_needs(config.resolved_method, env, only, name)
    for stage in config.resolved_method.stages:
        used = not stage.envs or name in stage.envs
        if used and stage.objective.env_measure is not None:
            env.find_measure(stage.objective.env_measure)
    env.close()


def _instead_of_the_hub(settings: EnvConfig) -> dict[str, Any]:
    """The arguments for the sample that ships, if problems come from the hub; else {}."""
    from_hub = settings.options.get("source", "hub") == "hub" and not settings.options.get("path")
    offline = offline_arguments(settings.id) if from_hub else {}
    return offline if "source" in offline else {}

"""The environment that a configuration names."""

from __future__ import annotations

from typing import Any

import srl_env
from srl_agents.runs.config import EnvConfig
from srl_agents.runs.expert_file import ExpertFile
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption


def make_env(settings: EnvConfig, **instead: Any) -> ReasoningEnv:
    """The environment that the configuration names. instead: arguments that override its own.

    Raises as ``srl_env.make``, BadOption if it is not a ``ReasoningEnv``, and BadData for a file of
    experts that is not of its problems.
    """
    env = srl_env.make(settings.id, **{**settings.options, **instead}).unwrapped
    if not isinstance(env, ReasoningEnv):
        raise BadOption(
            f"{settings.id!r} must be a srl_env.ReasoningEnv; got a {type(env).__name__}"
        )
    if settings.experts is not None:
        env.problems = env.conditions.of(ExpertFile(env.problems, settings.experts))
    return env

"""The gallery: every registered environment, its manual, and a step as a policy meets it."""

from __future__ import annotations

import inspect
from typing import Any, cast

import gymnasium
from gymnasium.envs.registration import load_env_creator

import srl_env
from sitegen.docstrings import as_markdown
from srl_env.environment import ReasoningEnv
from srl_env.errors import UserError
from srl_env.registration.ids import offline_arguments

SEED = 2


def gallery() -> str:
    """A section for each registered environment, by id."""
    return "\n\n".join(_section(env_id) for env_id in srl_env.environment_ids())


def _section(env_id: str) -> str:
    target: Any = gymnasium.spec(env_id).entry_point
    maker = load_env_creator(target) if isinstance(target, str) else target
    manual = inspect.getdoc(maker) or ""
    try:
        step = _step(env_id)
    except UserError as error:  # an extra that is not installed, data that is elsewhere
        step = f"Not to be shown where this page was made: {error}"
    return f"## {env_id}\n\n{as_markdown(manual)}\n\n**A step of it.**\n\n{step}"


def _step(env_id: str) -> str:
    """What a policy is shown after one expert step, and what the expert writes then."""
    env = cast(ReasoningEnv, srl_env.make(env_id, **offline_arguments(env_id)).unwrapped)
    observation, info = env.reset(seed=SEED, options={"reward_mode": "srl", "start_step": 1})
    expert = env.expert_completion()
    reward = env.step(expert)[1]
    env.close()
    roles = "\n\n".join(f"[{m['role']}]\n{m['content']}" for m in info["messages"])
    shown = roles if len(info["messages"]) > 1 else observation
    return (
        f"Problem `{info['problem_id']}`, after one expert step:\n\n{fenced(shown)}\n\n"
        f"What the expert writes, for a reward of {reward:g} under `srl`:\n\n{fenced(expert)}"
    )


def fenced(text: str) -> str:
    """The text as a code block that nothing in it can end."""
    fence = "`" * 6
    assert fence not in text
    return f"{fence}text\n{text}\n{fence}"

"""The environment of ``swe.toml``: recorded trajectories of coding agents, step by step.

    srl-env train --config examples/recipes/swe.toml --set env.options.path=trajectories.jsonl

An action is the call; its reward is its similarity to the recorded one. Results are the recorded
ones, so nothing is executed.
"""

from __future__ import annotations

from typing import Any

from srl_env import PromptStyle, ReasoningEnv
from srl_env.data import open_trajectories
from srl_env.swe import RecordedCalls, ToolCalls

TASK = (
    "You are an engineer who resolves an issue in a repository. You are shown the issue, and your"
    " last two actions with their results."
)


class TrajectoriesEnv(ReasoningEnv):
    """Continue the recorded work on an issue by its next call.

    path: what ``srl_env.data.open_trajectories`` reads. split: 90 % of the instances are "train",
    5 % each "dev" and "test".
    """

    def __init__(self, path: str, split: str = "train", **options: Any) -> None:
        source = open_trajectories(path, resolved_only=True, split=split, on_bad_row="drop")
        style = PromptStyle(step_task=TASK, problem="Issue:\n{problem}", last_turns=2)
        own = {"format": ToolCalls(), "measure": "tool-calls", "style": style}
        super().__init__(source, RecordedCalls(), **own | options)

"""The form for chat templates that can call tools: TRL's ``environment_factory``.

The model acts by calling one tool, ``take_step``; TRL keeps the conversation, runs the calls and
masks what they return. There is one reward for a conversation, so in SRL a row is one step and a
second call of the tool does nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from srl_agents.integrations.rows import Each, Maker, Rows, RowSettings, warn_of_spreading
from srl_agents.integrations.trl.task import TRLTask
from srl_env.environment import ReasoningEnv
from srl_env.errors import Failure
from srl_env.problem import ExpertStep, Targets
from srl_env.text.format import ParsedStep

OVER = "The episode is over. Take no further step."


class ToolSteps:
    """A format in which the argument of a tool call is the action, and all of it."""

    instructions = (
        "Give every step as a call of the tool take_step, whose argument is what belongs to the "
        "solution and nothing else."
    )
    stop: tuple[str, ...] = ()

    def parse(self, text: str) -> ParsedStep:
        """The text, stripped; an empty one breaks the form."""
        action = text.strip()
        return ParsedStep(None, action, bool(action), None if action else "the action is empty")

    def render(self, step: ExpertStep) -> str:
        """The action as it is."""
        return step.action


class TRLTools:
    """What to give to ``GRPOTrainer``: ``dataset()`` and ``environment``.

    ``GRPOTrainer(model, train_dataset=tools.dataset(), environment_factory=tools.environment)``;
    the environment owns the reward. failures: as for ``TRLTask``.
    """

    def __init__(
        self,
        env: str | Maker,
        reward_mode: str = "srl",
        *,
        each: Each | None = None,
        targets: Targets = "paper",
        max_steps: int | None = None,
        problems: int | None = None,
        seed: int = 0,
        **arguments: Any,
    ) -> None:
        """As for ``TRLTask``; the environments' format becomes ``ToolSteps``."""
        by_step = RowSettings(reward_mode, each).by_step
        settings = RowSettings(
            reward_mode, each, targets, None if by_step else "step", max_steps, problems, seed
        )
        self.rows = Rows(env, settings, arguments, adapt=_by_tool)
        _ = self.rows.rows  # what is wrong with them shows before a trainer is made
        self.failures: Counter[str] = Counter()

    def dataset(self) -> Any:
        """As ``TRLTask.dataset``, with prompts that ask for calls of the tool."""
        return TRLTask.dataset(self)  # type: ignore[arg-type]  # reads ``rows`` alone

    def environment(self) -> ToolEpisodes:
        """TRL's ``environment_factory``."""
        return ToolEpisodes(self.rows, self.failures)


class ToolEpisodes:
    """One environment, episode after episode. TRL takes every public method for a tool."""

    def __init__(self, rows: Rows, failures: Counter[str]) -> None:
        self._rows, self._failures = rows, failures
        self._env = rows.make()
        self._open, self._reward, self._steps, self._paid = False, 0.0, 0, 0

    def reset(self, **row: Any) -> None:
        """Begins at a row of the data set, whose prompt already says everything."""
        start = self._rows.start(row)
        self._open, self._reward, self._steps, self._paid = True, 0.0, 0, 0
        try:
            self._env.reset(seed=start.seed, options=dict(start.options))
        except Failure as failure:
            self._fail(type(failure).__name__)

    def take_step(self, action: str) -> str:
        """
        Takes the next step of the solution.

        Args:
            action: The step, as it shall stand in the solution.

        Returns:
            What the world answers to it.
        """
        if not self._open:
            return OVER
        _, reward, terminated, truncated, info = self._env.step(str(action))
        if "failure" in info:
            self._fail(info["failure"]["type"])
            return OVER
        self._reward, self._steps = self._reward + reward, self._steps + 1
        self._paid += reward != 0
        self._open = not (terminated or truncated)
        turns = self._env.history
        answer = turns[-1].observation if turns and not self._rows.settings.by_step else None
        return "\n".join(filter(None, (answer, None if self._open else OVER))) or "Taken."

    def get_reward(self) -> float | None:
        """What the episode was paid; of one without any step, what an empty one is paid."""
        if self._open and not self._steps:
            self.take_step("")
        warn_of_spreading(self._paid, "TRL")
        return None if math.isnan(self._reward) else self._reward

    def _fail(self, kind: str) -> None:
        self._failures[kind] += 1
        self._open, self._reward = False, math.nan


def _by_tool(env: ReasoningEnv) -> None:
    env.format = ToolSteps()

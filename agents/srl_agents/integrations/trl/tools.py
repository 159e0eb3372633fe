"""TRL's ``environment_factory``, for chat templates that can call tools.

The model acts by calling one tool, ``take_step``. TRL keeps the conversation, runs the calls and
masks their answers. A conversation has one reward, so in SRL a row is one step, and a second call
of the tool does nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from srl_agents.integrations.rows import Maker, Rows, RowSettings, warn_of_spreading
from srl_env.environment import ReasoningEnv
from srl_env.errors import Failure
from srl_env.problem import ExpertStep
from srl_env.text.format import ParsedStep

OVER = "The episode is over. Take no further step."


class ToolSteps:
    """A format in which the argument of a tool call is the whole action."""

    instructions = (
        "Give every step as a call of the tool take_step, whose argument is what belongs to the "
        "solution and nothing else."
    )
    stop: tuple[str, ...] = ()

    def parse(self, text: str) -> ParsedStep:
        """The text, stripped; an empty one breaks the format."""
        action = text.strip()
        return ParsedStep(None, action, bool(action), None if action else "the action is empty")

    def render(self, step: ExpertStep) -> str:
        """The action, unchanged."""
        return step.action


class TRLTools:
    """The arguments of ``GRPOTrainer``: ``dataset()`` and ``environment``.

    ``GRPOTrainer(model, train_dataset=tools.dataset(), environment_factory=tools.environment)``;
    the environment gives the reward. failures: as for ``TRLTask``.
    """

    def __init__(self, env: str | Maker, reward_mode: str = "srl", **options: Any) -> None:
        """As for ``TRLTask``, with granularity "step" and the format ``ToolSteps``."""
        given = {"reward_mode": reward_mode, "granularity": "step", **options}
        settings, arguments = RowSettings.split(given)
        self.rows = Rows(env, settings, arguments, adapt=_use_tool_steps)
        _ = self.rows.rows  # mistakes show before a trainer is made
        self.failures: Counter[str] = Counter()

    def dataset(self) -> Any:
        """As ``TRLTask.dataset``, with prompts that ask for calls of the tool."""
        return self.rows.dataset()

    def environment(self) -> ToolEpisodes:
        """TRL's ``environment_factory``."""
        return ToolEpisodes(self.rows, self.failures)


class ToolEpisodes:
    """One environment, episode after episode. TRL makes every public method a tool."""

    def __init__(self, rows: Rows, failures: Counter[str]) -> None:
        self._rows, self._failures = rows, failures
        self._env = rows.make()
        self._open, self._rewards = False, list[float]()

    def reset(self, **row: Any) -> None:
        """Starts at a row of the data set; its prompt already says everything."""
        start = self._rows.start(row)
        self._open, self._rewards = True, []
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
        self._rewards.append(reward)
        self._open = not (terminated or truncated)
        turns = self._env.history
        answer = turns[-1].observation if turns and not self._rows.settings.by_step else None
        return "\n".join(filter(None, (answer, None if self._open else OVER))) or "Taken."

    def get_reward(self) -> float | None:
        """The episode's reward, None if it failed; an episode without a step takes an empty one."""
        if self._open and not self._rewards:
            self.take_step("")
        warn_of_spreading(sum(reward != 0 for reward in self._rewards), "TRL")
        total = sum(self._rewards)
        return None if math.isnan(total) else total

    def _fail(self, kind: str) -> None:
        self._failures[kind] += 1
        self._open, self._rewards = False, [math.nan]


def _use_tool_steps(env: ReasoningEnv) -> None:
    env.format = ToolSteps()

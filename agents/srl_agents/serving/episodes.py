"""The episodes of one session: an environment, and what a client is shown of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from srl_env.environment import ReasoningEnv
from srl_env.episode.state import StepResult
from srl_env.errors import BadOption, Failure, UnknownName
from srl_env.policy import Generation
from srl_env.rollout import Episode, LiveEpisode, Start
from srl_env.text.tool import Parameter, Tool
from srl_env.text.tools import call_text

TAKE_STEP: Final = Tool(
    "take_step",
    "Takes the next step of the solution.",
    {"text": Parameter("string", "the step, as it shall stand in the solution")},
)
"""The only tool of an environment that has none."""
_LONGEST_NAME: Final = 1000  # similar names are looked for, which takes time


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client is shown after a reset or a step; JSON-safe but for rewards that are NaN.

    text: what is new: the whole prompt after a reset, then the world's answer, or the expert's step
    if that entered the history. messages: the whole prompt. reward: None after a reset. failure:
    type and message of an infrastructure failure; then the reward is NaN.
    """

    text: str
    messages: Sequence[Mapping[str, Any]]
    reward: float | None
    terminated: bool
    truncated: bool
    failure: Mapping[str, str] | None
    info: Mapping[str, Any]

    @property
    def done(self) -> bool:
        """Whether the episode has ended."""
        return self.terminated or self.truncated


class ServedEpisodes:
    """One environment, episode after episode, for one client."""

    def __init__(self, env: ReasoningEnv, record: Callable[[Episode], None]) -> None:
        """record: called with every episode that ended or was left after a step."""
        self.env, self._record = env, record
        self._live: LiveEpisode | None = None
        self._id: str | None = None

    def reset(
        self, seed: int | None, options: Mapping[str, Any], episode_id: str | None = None
    ) -> Shown:
        """Starts an episode. Raises ``UserError`` for wrong options.

        If the world cannot be set up, the episode has ended with that failure.
        """
        self._check(options)
        self._abandon()
        try:
            text, info = self.env.reset(seed=seed, options=options)
        except Failure as failure:
            return self._begun(options, seed, episode_id, self.env.fail(failure))
        return self._begun(options, seed, episode_id, (text, 0.0, False, False, info))

    def step(self, text: str) -> Shown:
        """Takes a step. Raises ``ResetNeeded`` if no episode is open."""
        self.env.expects(text)
        assert self._live is not None, "an episode is open"
        expert = self.env.expert_action
        result = self.env.step(text)
        self._live.add(Generation(text), result, expert)
        if self._live.ended:
            self._record(self._live.episode())
        return _shown(self._news(), result, result[1])

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Shown:
        """Takes the step that calls a tool. Raises ``UnknownName`` if there is no such tool.

        Wrong arguments are a step too: the environment says what is wrong with them.
        """
        names = [known.name for known in tools_of(self.env)]
        if tool not in names:
            raise UnknownName("tool", tool[:_LONGEST_NAME], names)
        if hasattr(self.env.format, "tools"):
            return self.step(call_text(tool, dict(arguments)))
        text = arguments.get("text")
        if not isinstance(text, str):
            raise BadOption(f"text must be a text; got {type(text).__name__}")
        return self.step(text)

    def tools(self) -> list[dict[str, Any]]:
        """The tools as OpenEnv lists them."""
        return [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.schema()["function"]["parameters"],
            }
            for tool in tools_of(self.env)
        ]

    def state(self) -> dict[str, Any]:
        """The episode so far, without anything that a policy may not see."""
        live = self._live
        return {
            "episode_id": self._id,
            "step_count": len(live.steps) if live else 0,
            "problem_id": live.info["problem_id"] if live else None,
            "reward_mode": live.info["reward_mode"] if live else None,
            "done": live.ended if live else False,
        }

    def close(self) -> None:
        """Closes the environment."""
        self._abandon()
        self.env.close()

    def _abandon(self) -> None:
        """Records an episode that its client left, so that none is left out of the record."""
        if self._live is not None and self._live.steps and not self._live.ended:
            self._record(self._live.episode())
        self._live = None

    def _check(self, options: Mapping[str, Any]) -> None:
        """A client names what is registered here, and does not lengthen episodes."""
        for name, value in options.items():
            if isinstance(value, str) and len(value) > _LONGEST_NAME:
                raise BadOption(f"{name} must have at most {_LONGEST_NAME} characters")
        measure, steps = options.get("measure"), options.get("max_steps")
        if isinstance(measure, str) and ":" in measure:
            raise BadOption(f"measure must be a name that is known here; got {measure!r:.80}")
        if isinstance(steps, int) and steps > self.env.max_steps:
            raise BadOption(f"max_steps must be at most {self.env.max_steps}; got {steps}")

    def _begun(
        self,
        options: Mapping[str, Any],
        seed: int | None,
        episode_id: str | None,
        result: StepResult,
    ) -> Shown:
        text, _, terminated, truncated, info = result
        self._id = episode_id
        self._live = LiveEpisode(self.env, Start(options, seed), info, ended=truncated)
        if self._live.ended:
            self._record(self._live.episode())
        return _shown(text, (text, 0.0, terminated, truncated, info), None)

    def _news(self) -> str:
        """The last turn, as far as the policy did not write it."""
        if not self.env.history:
            return ""
        turn = self.env.history[-1]
        own = self.env.continuation == "policy"
        return "\n".join(filter(None, (None if own else turn.action, turn.observation)))


def tools_of(env: ReasoningEnv) -> Sequence[Tool]:
    """The tools of an environment; ``TAKE_STEP`` if it has none."""
    tools: Sequence[Tool] = getattr(env.format, "tools", ())
    return tools or (TAKE_STEP,)


def _shown(text: str, result: StepResult, reward: float | None) -> Shown:
    _, _, terminated, truncated, info = result
    rest = {name: value for name, value in info.items() if name not in ("messages", "failure")}
    failure = info.get("failure")
    return Shown(text, info["messages"], reward, terminated, truncated, failure, rest)

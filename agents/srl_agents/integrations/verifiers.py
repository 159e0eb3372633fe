"""Any of our environments as a taskset and an environment of verifiers (``verifiers.v1``).

    vf-eval srl-agents --env.taskset.environment srl/WordProblem-v0 --env.taskset.problems 20

A task is a row (``srl_agents.integrations.rows``): in SRL one step, so that the rollouts of a task
are the group of that step; otherwise one problem. Every completion is an agent run of its own with
a trace of its own, because the prompt of each step is made anew from the history; so a step keeps
its own reward ("srl" on its trace). Where the policy's steps are the history, what is compared is
the episode, and every trace of it is paid the episode's total. "correct" is the verifier's verdict
on an episode; a single step of the middle has none.

A failure of ours is an error of the episode, never a reward. The agent's default is a plain chat
(harness ``null``) in a subprocess, which runs nothing that the model writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from srl_agents.integrations.rows import Each, Rows, RowSettings, correct_of
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure, MissingExtra, WorldFailure
from srl_env.problem import Targets
from srl_env.text.prompt import Messages

try:
    import verifiers.v1 as vf
except ModuleNotFoundError as error:
    if error.name not in ("verifiers", "verifiers.v1"):
        raise
    raise MissingExtra("verifiers", "verifiers") from None

REWARD, CORRECT = "srl", "correct"


class SRLData(vf.TaskData):  # type: ignore[misc]
    """A row. What the expert does is not in it: it travels with every trace."""

    problem: int
    problem_id: str
    start_step: int
    seed: int


class SRLTask(vf.Task[SRLData]):  # type: ignore[misc]
    """A row; the environment pays it, so there is nothing to score here."""


class SRLTasksetConfig(vf.TasksetConfig):  # type: ignore[misc]
    """Which environment, and which rows: as ``srl_agents.integrations.rows.RowSettings`` says."""

    environment: str = ""
    """An id, or another name that srl_env.make takes."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Of the environment's constructor."""
    reward_mode: str = "srl"
    each: Each | None = None
    targets: Targets = "paper"
    granularity: Literal["step", "solution"] | None = None
    max_steps: int | None = None
    problems: int | None = None
    seed: int = 0


class SRLTaskset(vf.Taskset[SRLTask, SRLTasksetConfig]):  # type: ignore[misc]
    """The rows of an environment."""

    def __init__(self, config: SRLTasksetConfig) -> None:
        """Lists the rows; raises BadOption where there are none."""
        super().__init__(config)
        if not config.environment:
            raise BadOption(
                "no environment: --env.taskset.environment takes an id (srl-env list), a file or "
                "a folder"
            )
        settings = RowSettings(
            config.reward_mode,
            config.each,
            config.targets,
            config.granularity,
            config.max_steps,
            config.problems,
            config.seed,
        )
        self.rows = Rows(config.environment, settings, config.arguments)
        _ = self.rows.rows  # what is wrong with them shows before anything runs

    def load(self) -> Iterator[SRLTask]:
        """A task for each row."""
        for row in self.rows.rows:
            name = f"{row.problem_id}, step {row.start_step + 1}"
            data = SRLData(name=name, **_shown(row.messages), **row.columns())
            yield SRLTask(data, self.config.task)


class SRLEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """The seat of the one agent, under the name it has in verifiers' own environment."""

    agent: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"}, runtime={"type": "subprocess"})


class SRLVerifiersEnv(vf.Env[SRLEnvConfig]):  # type: ignore[misc]
    """An episode: the agent is shown each step's prompt, the environment takes what it says."""

    async def start(self) -> None:
        """Environments are made when first needed and used again."""
        self._idle: list[ReasoningEnv] = []

    async def stop(self) -> None:
        """Closes them."""
        for env in getattr(self, "_idle", []):
            env.close()

    async def run(self, task: SRLTask, agents: Any) -> None:
        """One episode from a row; raises a ``Failure`` where the library failed."""
        env = self._idle.pop() if self._idle else self.taskset.rows.make()
        try:
            await self._episode(env, task, agents.agent)
        finally:
            self._idle.append(env)

    async def _episode(self, env: ReasoningEnv, task: SRLTask, agent: Any) -> None:
        start = self.taskset.rows.start(task.data.model_dump())
        _, info = await asyncio.to_thread(env.reset, seed=start.seed, options=start.options)
        traces: list[Any] = []
        total = 0.0
        while True:
            shown = SRLTask(task.data.model_copy(update=_shown(info["messages"])), task.config)
            trace = await agent.run(shown)
            if not trace.ok:
                return  # verifiers' own failure: its error is on the trace, and no reward
            _, reward, terminated, truncated, info = await asyncio.to_thread(
                env.step, _reply(trace)
            )
            if "failure" in info:
                raise _failure(info["failure"])
            traces, total = [*traces, trace], total + reward
            trace.record_metric("format_ok", info["format_ok"])
            if terminated or truncated:
                break
        correct = correct_of(info)
        judged = correct is not None and (terminated or not self.taskset.rows.settings.by_step)
        for trace in traces:
            trace.record_reward(REWARD, total)
            if judged:
                trace.record_metric(CORRECT, correct)


def _shown(messages: Messages) -> dict[str, Any]:
    """A prompt as fields of a task: the system's text apart."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    kinds = {"user": vf.UserMessage, "assistant": vf.AssistantMessage}
    rest = [kinds[m["role"]](content=m["content"]) for m in messages if m["role"] in kinds]
    return {"system_prompt": "\n\n".join(system) or None, "prompt": rest}


def _reply(trace: Any) -> str:
    """What the agent said, with the thoughts that a server split off."""
    message = trace.assistant_messages[-1]
    content = str(message.content or "")
    thought = getattr(message, "reasoning_content", None)
    return content if not thought else f"<think>{thought}</think>{content}"


def _failure(found: dict[str, str]) -> Failure:
    return WorldFailure(f"{found['type']}: {found['message']}")


__all__ = ["SRLEnvConfig", "SRLTaskset", "SRLTasksetConfig", "SRLVerifiersEnv"]

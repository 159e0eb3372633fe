"""Any environment as a taskset and an environment of verifiers (``verifiers.v1``).

    vf-eval srl-agents --env.taskset.environment srl/WordProblem-v0 --env.taskset.problems 20

A task is a row (``srl_agents.integrations.rows``). In SRL it is one step, so the rollouts of a
task are the group of that step; otherwise it is one problem. Each completion is a separate agent
run with its own trace, because the prompt of each step is made from the history. A step therefore
keeps its own reward ("srl" on its trace). If the policy's steps are the history, every trace gets
the episode's total. "correct" is the verifier's verdict; a step in the middle has none.

An infrastructure failure is an error of the episode, never a reward. The default agent is a plain
chat (harness ``null``) in a subprocess. It runs nothing that the model writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import Field, create_model

from srl_agents.integrations.rows import (
    Rows,
    RowSettings,
    run_episode,
    verdict_of,
    with_thought,
)
from srl_env.errors import BadOption
from srl_env.lazy import optional_import
from srl_env.text.prompt import Messages

with optional_import("verifiers", "verifiers"):
    import verifiers.v1 as vf

REWARD, CORRECT = "srl", "correct"


class SRLData(vf.TaskData):  # type: ignore[misc]
    """A row, without the expert's step: it is stored with every trace."""

    problem: int
    problem_id: str
    start_step: int
    seed: int


class SRLTask(vf.Task[SRLData]):  # type: ignore[misc]
    """A row. The environment rewards it, so there is nothing to score here."""


class _EnvironmentConfig(vf.TasksetConfig):  # type: ignore[misc]
    environment: str = ""
    """An id, or another name that srl_env.make takes."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Of the environment's constructor."""


_TYPES = get_type_hints(RowSettings)
_FIELDS: dict[str, Any] = {f.name: (_TYPES[f.name], f.default) for f in fields(RowSettings)}
SRLTasksetConfig: Any = create_model(
    "SRLTasksetConfig", __base__=_EnvironmentConfig, __module__=__name__, **_FIELDS
)
"""The environment, its arguments, and the fields of ``RowSettings``."""


class SRLTaskset(vf.Taskset[SRLTask, SRLTasksetConfig]):  # type: ignore[misc]
    """The rows of an environment."""

    def __init__(self, config: Any) -> None:
        """config: a ``SRLTasksetConfig``. Lists the rows; raises BadOption if there are none."""
        super().__init__(config)
        if not config.environment:
            raise BadOption(
                "no environment. Fix: --env.taskset.environment takes an id (srl-env list), a "
                "file or a folder"
            )
        settings, _ = RowSettings.split(config.model_dump())
        self.rows = Rows(config.environment, settings, config.arguments)
        _ = self.rows.rows  # mistakes show before anything runs

    def load(self) -> Iterator[SRLTask]:
        """A task for each row."""
        for row in self.rows.rows:
            name = f"{row.problem_id}, step {row.start_step + 1}"
            data = SRLData(name=name, **_prompt(row.messages), **row.columns())
            yield SRLTask(data, self.config.task)


class SRLEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """The one agent, under the name it has in verifiers' own environment."""

    agent: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"}, runtime={"type": "subprocess"})


class SRLVerifiersEnv(vf.Env[SRLEnvConfig]):  # type: ignore[misc]
    """An episode: the agent sees each step's prompt, the environment takes its answer."""

    async def stop(self) -> None:
        """Closes the environments."""
        self.taskset.rows.close()

    async def run(self, task: SRLTask, agents: Any) -> None:
        """One episode from a row; raises a ``Failure`` if the infrastructure failed."""
        rows, traces = self.taskset.rows, list[Any]()

        async def act(messages: Messages) -> str | None:
            data = task.data.model_copy(update=_prompt(messages))
            traces.append(await agents.agent.run(SRLTask(data, task.config)))
            return _reply(traces[-1]) if traces[-1].ok else None

        with rows.borrowed() as env:
            episode = await run_episode(env, rows.start(task.data.model_dump()), act)
        if not episode.over:
            return  # verifiers' own failure: the error is on the trace, without a reward
        correct = verdict_of(episode.steps[-1][1])
        judged = correct is not None and (episode.terminated or not rows.settings.by_step)
        for trace, (_, info) in zip(traces, episode.steps, strict=True):
            trace.record_metric("format_ok", info["format_ok"])
            trace.record_reward(REWARD, episode.total)
            if judged:
                trace.record_metric(CORRECT, correct)


def _prompt(messages: Messages) -> dict[str, Any]:
    """A prompt as fields of a task, with the system text separate."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    kinds = {"user": vf.UserMessage, "assistant": vf.AssistantMessage}
    rest = [kinds[m["role"]](content=m["content"]) for m in messages if m["role"] in kinds]
    return {"system_prompt": "\n\n".join(system) or None, "prompt": rest}


def _reply(trace: Any) -> str:
    message = trace.assistant_messages[-1]
    return with_thought(str(message.content or ""), getattr(message, "reasoning_content", None))


__all__ = ["SRLEnvConfig", "SRLTaskset", "SRLTasksetConfig", "SRLVerifiersEnv"]

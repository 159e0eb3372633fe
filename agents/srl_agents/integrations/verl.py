"""An agent loop for verl (0.9): its trainer samples, our environments pay.

``write_rows`` makes the parquet file of a training (``data.train_files``); the loop is registered
as "srl_env", the value that the file has in the column ``agent_name``. verl finds it through
``actor_rollout_ref.rollout.agent.agent_loop_config_path``, a YAML file::

    - name: srl_env
      _target_: srl_agents.integrations.verl.SRLAgentLoop
      environment: srl/WordProblem-v0
      reward_mode: srl

**verl puts one number on the last token of a response, and uses no scores of turns.** So in SRL a
row is one step and its rollouts (``rollout.n``) are that step's group; a whole SRL episode in one
row is refused, and where several steps of a row are paid nevertheless, a ``StepRewardsSpread``
warning says so. Nor does verl know of a sample without a reward: an episode in which the library
failed is begun anew, ``retries`` times, and then the ``Failure`` is raised and stops the training.
"""

from __future__ import annotations

import functools
import json
import math
import time
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from srl_agents.integrations.rows import (
    Row,
    Rows,
    RowsDropped,
    RowSettings,
    correct_of,
    warn_of_spreading,
)
from srl_agents.integrations.transcript import transcript
from srl_agents.policies.tokens import make_generation, tokens_to_stop
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure, MissingExtra, WorldFailure
from srl_env.policy import Generation
from srl_env.text.prompt import Messages

try:
    from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput, register
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "verl":
        raise
    raise MissingExtra("verl", "verl", alone=True) from None

NAME = "srl_env"


def write_rows(
    path: str | PathLike[str],
    environment: str,
    arguments: Mapping[str, Any] | None = None,
    **settings: Any,
) -> int:
    """Writes the rows of an environment as verl's data set reads them; returns how many.

    settings: those of ``srl_agents.integrations.rows.RowSettings``, the same as in the loop's YAML
    file.
    """
    from datasets import Dataset

    rows = Rows(environment, RowSettings(**settings), arguments).rows
    columns = [_columns(number, row, environment) for number, row in enumerate(rows)]
    Dataset.from_list(columns).to_parquet(str(path))
    return len(rows)


def _columns(number: int, row: Row, environment: str) -> dict[str, Any]:
    return {
        "prompt": list(row.messages),
        "data_source": environment,
        "agent_name": NAME,
        "reward_model": {"style": "rule", "ground_truth": ""},
        "extra_info": row.columns() | {"index": number},
    }


@dataclass(slots=True)
class _Played:
    """An episode so far. seconds: in sampling, and in the environment."""

    generations: list[Generation] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    correct: bool | None = False
    format_ok: bool = True


@register(NAME)
class SRLAgentLoop(AgentLoopBase):  # type: ignore[misc]
    """One episode from a row; verl makes a loop for each."""

    def __init__(
        self,
        *given: Any,
        environment: str = "",
        arguments: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        reward_mode: str = "srl",
        retries: int = 2,
        **named: Any,
    ) -> None:
        """given, named: verl's. environment, arguments: as for ``srl_env.make``. settings: further
        ones of ``RowSettings``. retries: how often an episode that failed is begun anew.
        """
        super().__init__(*given, **named)
        if not environment:
            raise BadOption(
                "no environment: the agent loop's YAML file names one, as environment: "
                "srl/WordProblem-v0 (see srl_agents.integrations.verl)"
            )
        chosen = {"reward_mode": reward_mode, **(settings or {})}
        self.rows, self._idle = _shared(environment, _text(arguments), _text(chosen))
        self.retries = retries
        self._longest = int(self.rollout_config.response_length)

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """The episode as one sequence, paid the sum of its rewards.

        kwargs: the row's columns. Raises the last ``Failure`` where every attempt failed.
        """
        for attempt in range(self.retries + 1):
            env = self._idle.pop() if self._idle else self.rows.make()
            try:
                played = await self._play(env, sampling_params, kwargs["extra_info"])
                break
            except Failure:
                if attempt == self.retries:
                    raise
            finally:
                self._idle.append(env)
        return self._output(played)

    async def _play(
        self, env: ReasoningEnv, sampling_params: Mapping[str, Any], row: Mapping[str, Any]
    ) -> _Played:
        played, start = _Played(), self.rows.start(row)
        begin = functools.partial(env.reset, seed=start.seed, options=start.options)
        _, info = await self.loop.run_in_executor(None, begin)
        request_id = uuid.uuid4().hex
        while True:
            generation = await self._generate(played, sampling_params, info["messages"], request_id)
            if generation is None:
                return played
            began = time.perf_counter()
            result = await self.loop.run_in_executor(None, env.step, generation.text)
            _note(played, "tool_calls", began)
            _, reward, terminated, truncated, info = result
            if "failure" in info:
                raise WorldFailure(f"{info['failure']['type']}: {info['failure']['message']}")
            played.generations.append(generation)
            played.rewards.append(reward)
            played.format_ok = played.format_ok and info["format_ok"]
            if terminated or truncated:
                played.correct = correct_of(info)
                return played

    async def _generate(
        self,
        played: _Played,
        sampling_params: Mapping[str, Any],
        messages: Messages,
        request_id: str,
    ) -> Generation | None:
        """What the model writes next; None where the response is as long as it may be."""
        prompt = await self.ct_build_initial_tokens([dict(message) for message in messages])
        first = played.generations[0].prompt_ids if played.generations else prompt
        left = self._longest - (len(prompt) - len(first))
        if left <= 0:
            return None
        began = time.perf_counter()
        made = await self.server_manager.generate(
            request_id=request_id,
            prompt_ids=prompt,
            sampling_params={**sampling_params, "max_tokens": left},
        )
        _note(played, "generate_sequences", began)
        stop = self.rows.stop
        kept = tokens_to_stop(made.token_ids, stop, self._decode)
        ids, logprobs = tuple(made.token_ids[:kept]), tuple((made.log_probs or [])[:kept])
        return make_generation(self._decode(ids), prompt, ids, logprobs, "stop", stop)

    def _decode(self, ids: Any) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _output(self, played: _Played) -> AgentLoopOutput:
        joined = transcript(played.generations)
        if joined.steps < len(played.generations):
            warnings.warn(
                f"an episode of {len(played.generations)} steps is trained on up to step "
                f"{joined.steps}: the next prompt does not continue what was sampled (thinking is "
                "stripped from the history). Use granularity='solution' or each='step'",
                RowsDropped,
                stacklevel=2,
            )
        warn_of_spreading(sum(reward != 0 for reward in played.rewards), "verl")
        end = self._longest
        return AgentLoopOutput(
            prompt_ids=joined.prompt_ids,
            response_ids=joined.completion_ids[:end],
            response_mask=joined.mask[:end],
            response_logprobs=joined.logprobs[:end] or None,
            multi_modal_data={},
            reward_score=sum(played.rewards),
            num_turns=2 * joined.steps,
            metrics=played.seconds,
            extra_fields={
                "turn_scores": played.rewards,
                "tool_rewards": [],
                "reward_extra_info": {
                    "acc": math.nan if played.correct is None else float(played.correct),
                    "format_ok": float(played.format_ok),
                },
            },
        )


def _note(played: _Played, phase: str, began: float) -> None:
    played.seconds[phase] = played.seconds.get(phase, 0.0) + time.perf_counter() - began


def _text(settings: Mapping[str, Any] | None) -> str:
    """Settings as JSON; those of a YAML file come in omegaconf's own mappings and lists."""
    return json.dumps(_plain(settings or {}), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value


@functools.cache
def _shared(environment: str, arguments: str, settings: str) -> tuple[Rows, list[ReasoningEnv]]:
    """The rows of a process's loops, and the environments that none of them uses now."""
    rows = Rows(environment, RowSettings(**json.loads(settings)), json.loads(arguments))
    return rows, []

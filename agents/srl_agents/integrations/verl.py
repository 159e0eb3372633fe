"""An agent loop for verl (0.9): its trainer samples, our environments give the rewards.

``write_rows`` makes the parquet file of a training (``data.train_files``). The loop is registered
as "srl_env", the value of the file's column ``agent_name``. verl finds it through
``actor_rollout_ref.rollout.agent.agent_loop_config_path``, a YAML file::

    - name: srl_env
      _target_: srl_agents.integrations.verl.SRLAgentLoop
      environment: srl/WordProblem-v0
      reward_mode: srl

**verl puts one number on the last token of a response, and does not use scores of turns.** So in
SRL a row is one step, and its rollouts (``rollout.n``) are the group of that step. A whole SRL
episode in one row is refused; a ``StepRewardsSpread`` warning reports other rows with several
rewarded steps. verl cannot handle a sample without a reward: an episode that fails is retried
``retries`` times, and then the ``Failure`` stops the training.
"""

from __future__ import annotations

import functools
import json
import math
import time
import uuid
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from os import PathLike
from typing import Any

from srl_agents.integrations.rows import (
    Row,
    Rows,
    RowsDropped,
    RowSettings,
    SteppedEpisode,
    run_episode,
    verdict_of,
    warn_of_spreading,
)
from srl_agents.integrations.transcript import transcript
from srl_agents.policies.tokens import make_generation, tokens_to_stop
from srl_env.errors import BadOption, Failure
from srl_env.lazy import optional_import
from srl_env.policy import Generation
from srl_env.rollout import Start
from srl_env.text.prompt import Messages

with optional_import("verl", "verl", alone=True):
    from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput, register

NAME = "srl_env"


def write_rows(
    path: str | PathLike[str],
    environment: str,
    arguments: Mapping[str, Any] | None = None,
    **settings: Any,
) -> int:
    """Writes the rows of an environment as verl's data set; returns how many.

    settings: of ``srl_agents.integrations.rows.RowSettings``, the same as in the loop's YAML file.
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
        ones of ``RowSettings``. retries: of an episode that failed.
        """
        super().__init__(*given, **named)
        if not environment:
            raise BadOption(
                "no environment. Fix: name one in the agent loop's YAML file, e.g. environment: "
                "srl/WordProblem-v0 (see srl_agents.integrations.verl)"
            )
        chosen = {"reward_mode": reward_mode, **(settings or {})}
        self.rows = _shared_rows(environment, _json(arguments or {}), _json(chosen))
        self.retries = retries
        self._longest = int(self.rollout_config.response_length)

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """The episode as one sequence, with the sum of its rewards.

        kwargs: the row's columns. Raises the last ``Failure`` if every attempt failed.
        """
        row = kwargs["extra_info"]
        for _ in range(self.retries):
            with suppress(Failure):
                return await self._episode(self.rows.start(row), sampling_params)
        return await self._episode(self.rows.start(row), sampling_params)

    async def _episode(self, start: Start, sampling_params: Mapping[str, Any]) -> AgentLoopOutput:
        generations: list[Generation] = []
        sampled, began, request_id = 0.0, time.perf_counter(), uuid.uuid4().hex

        async def act(messages: Messages) -> str | None:
            nonlocal sampled
            asked = time.perf_counter()
            prompt = await self.ct_build_initial_tokens([dict(message) for message in messages])
            first = generations[0].prompt_ids if generations else prompt
            left = self._longest - (len(prompt) - len(first))
            if left <= 0:
                return None
            generation = await self._generate(
                request_id, prompt, {**sampling_params, "max_tokens": left}
            )
            generations.append(generation)
            sampled += time.perf_counter() - asked
            return generation.text

        with self.rows.borrowed() as env:
            episode = await run_episode(env, start, act)
        stepped = time.perf_counter() - began - sampled
        seconds = {"generate_sequences": sampled, "tool_calls": stepped}
        return self._output(generations, episode, seconds)

    async def _generate(
        self, request_id: str, prompt: list[int], sampling_params: dict[str, Any]
    ) -> Generation:
        made = await self.server_manager.generate(
            request_id=request_id, prompt_ids=prompt, sampling_params=sampling_params
        )
        stop = self.rows.stop
        kept = tokens_to_stop(made.token_ids, stop, self._decode)
        ids, logprobs = tuple(made.token_ids[:kept]), tuple((made.log_probs or [])[:kept])
        return make_generation(self._decode(ids), prompt, ids, logprobs, "stop", stop)

    def _decode(self, ids: Any) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _output(
        self, generations: Sequence[Generation], episode: SteppedEpisode, seconds: dict[str, float]
    ) -> AgentLoopOutput:
        joined = transcript(generations)
        if joined.steps < len(generations):
            warnings.warn(
                f"an episode of {len(generations)} steps is trained on up to step {joined.steps}: "
                "the next prompt does not continue the sampled text (reasoning is removed from the "
                "history). Fix: granularity='solution' or each='step'",
                RowsDropped,
                stacklevel=2,
            )
        rewards = [reward for reward, _ in episode.steps]
        warn_of_spreading(sum(reward != 0 for reward in rewards), "verl")
        correct = verdict_of(episode.steps[-1][1]) if episode.over else False
        format_ok = all(info["format_ok"] for _, info in episode.steps)
        end = self._longest
        return AgentLoopOutput(
            prompt_ids=joined.prompt_ids,
            response_ids=joined.completion_ids[:end],
            response_mask=joined.mask[:end],
            response_logprobs=joined.logprobs[:end] or None,
            multi_modal_data={},
            reward_score=episode.total,
            num_turns=2 * joined.steps,
            metrics=seconds,
            extra_fields={
                "turn_scores": rewards,
                "tool_rewards": [],
                "reward_extra_info": {
                    "acc": math.nan if correct is None else float(correct),
                    "format_ok": float(format_ok),
                },
            },
        )


def _json(settings: Mapping[str, Any]) -> str:
    """Settings as JSON; a YAML file gives omegaconf's own mappings and sequences."""

    def plain(value: Any) -> Any:
        return dict(value) if isinstance(value, Mapping) else list(value)

    return json.dumps(dict(settings), sort_keys=True, default=plain)


@functools.cache
def _shared_rows(environment: str, arguments: str, settings: str) -> Rows:
    """The rows and environments that all loops of a process share."""
    return Rows(environment, RowSettings(**json.loads(settings)), json.loads(arguments))

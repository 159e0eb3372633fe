"""An environment as TRL's ``GRPOTrainer`` wants one: a data set, a rollout, a reward."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from srl_agents.integrations.rows import (
    Each,
    Maker,
    Row,
    Rows,
    RowsDropped,
    RowSettings,
    correct_of,
    prompt_key,
    warn_of_spreading,
)
from srl_agents.integrations.transcript import transcript
from srl_agents.integrations.trl.sampling import Sampler, TrainerPolicy, trainer_policy
from srl_env.batch.stepping import reset_many, step_many
from srl_env.errors import BadOption, Failure, MissingExtra, WorldFailure
from srl_env.policy import Sampling
from srl_env.problem import Targets
from srl_env.rewards import Granularity
from srl_env.rollout import Episode, Start, rollout

Reward = float | None
REWARD, CORRECT, FAILURE = "srl_reward", "srl_correct", "srl_failure"
"""The columns that ``rollout`` adds."""

_THOUGHTS = ("reasoning_content", "thinking")  # where templates that parse answers put them


class TRLTask:
    """What to give to ``GRPOTrainer``: ``dataset()``, ``reward`` and ``rollout``.

    failures: how many failures of ours there were, by type. Such rows have no reward (None) and
    no token that is trained on.
    """

    def __init__(
        self,
        env: str | Maker,
        reward_mode: str = "srl",
        *,
        each: Each | None = None,
        targets: Targets = "paper",
        granularity: Granularity | None = None,
        max_steps: int | None = None,
        problems: int | None = None,
        seed: int = 0,
        sampler: Sampler = "trl",
        **arguments: Any,
    ) -> None:
        """env: an id or another name, made with ``arguments``; or a function that makes one.

        reward_mode … seed: see ``srl_agents.integrations.rows.RowSettings``. sampler: "trl" samples
        as TRL is set to, "own" with our sampler (see ``srl_agents.integrations.trl.sampling``).
        Raises BadOption for what would spread the rewards of steps, and where there are no rows.
        """
        settings = RowSettings(reward_mode, each, targets, granularity, max_steps, problems, seed)
        if sampler not in get_args(Sampler):
            raise BadOption(f"sampler is 'trl' or 'own'; got {sampler!r}")
        self.rows, self.sampler = Rows(env, settings, arguments), sampler
        self.failures: Counter[str] = Counter()
        self._by_prompt = {prompt_key(row.messages): row for row in self.rows.rows}
        self._by_text = {_text(row.messages): row for row in self.rows.rows}
        self._policies: dict[int, TrainerPolicy] = {}

    def dataset(self, *, chat: bool = True) -> Any:
        """A ``datasets.Dataset`` with a row for each start.

        Columns: "prompt" (chat messages; with ``chat=False`` their texts one after the other,
        for a tokenizer without a chat template), "problem", "problem_id", "start_step", "seed".
        """
        prompts = [list(row.messages) if chat else _text(row.messages) for row in self.rows.rows]
        return _datasets().Dataset.from_list(
            [
                {"prompt": prompt, **row.columns()}
                for prompt, row in zip(prompts, self.rows.rows, strict=True)
            ]
        )

    def rollout(self, prompts: Sequence[Any], trainer: Any) -> dict[str, Any]:
        """TRL's ``rollout_func``: an episode for each prompt.

        prompts: of ``dataset()``, already repeated ``num_generations`` times. Token ids are those
        that were sampled; in ``env_mask`` the environment's are 0, and so is all of a failed row.
        Raises WorldFailure where every episode failed.
        """
        policy = self._policy(trainer)
        rows = [self._row(prompt) for prompt in prompts]
        starts = [self.rows.start(row, number) for number, row in enumerate(rows)]
        sampling = Sampling(trainer.temperature, trainer.max_completion_length)
        episodes = rollout(self.rows.pool, policy, starts, sampling)
        self._count(episodes, trainer)
        warn_of_spreading(
            max(sum(step.reward != 0 for step in episode.steps) for episode in episodes), "TRL"
        )
        return self._columns(rows, episodes, policy, trainer)

    def reward(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[Reward]:
        """TRL's reward function: the reward of each row, None where the library failed.

        After ``rollout`` it reads what the episode was paid. Without it TRL has sampled, and the
        completions are stepped here; BadOption where an episode is more than one completion.
        """
        if REWARD not in columns:
            columns |= self._scored(completions, columns)
        rewards: list[Reward] = columns[REWARD]
        if log := columns.get("log_metric"):
            known = [right for right in columns[CORRECT] if right is not None]
            if known:
                log("srl/correct", sum(known) / len(known))
            log("srl/failures", float(sum(reward is None for reward in rewards)))
        return rewards

    def unless_failed(self, function: Callable[..., Sequence[Reward]]) -> Callable[..., Any]:
        """Another reward function, silent about rows in which the library failed.

        TRL adds up what its reward functions say and passes over None: without this, a failed
        row would be paid what the others say.
        """
        if inspect.iscoroutinefunction(function):
            raise BadOption("unless_failed() takes a plain function; got a coroutine function")

        @functools.wraps(function)
        def guarded(**columns: Any) -> list[Reward]:
            failed = columns.get(FAILURE) or [None] * len(columns["prompts"])
            found = function(**columns)
            return [None if bad else r for bad, r in zip(failed, found, strict=True)]

        guarded.__dict__["_unless_failed"] = True
        return guarded

    def _policy(self, trainer: Any) -> TrainerPolicy:
        """The trainer's policy, made and checked once."""
        if id(trainer) not in self._policies:
            self._check(trainer)
            self._policies[id(trainer)] = trainer_policy(trainer, self.sampler)
        return self._policies[id(trainer)]

    def _check(self, trainer: Any) -> None:
        if self.reward not in trainer.reward_funcs:
            raise BadOption(
                "rollout_func=task.rollout needs reward_funcs=task.reward of the same task, alone "
                "or among others; without it nobody pays the steps"
            )
        if trainer.mask_truncated_completions and self.rows.stop:
            raise BadOption(
                "mask_truncated_completions=True would leave out every step: they end with "
                f"{self.rows.stop}, not with an end-of-text token"
            )

    def _row(self, prompt: Any) -> Row:
        row = (
            self._by_text.get(prompt)
            if isinstance(prompt, str)
            else self._by_prompt.get(prompt_key(prompt))
        )
        if row is None:
            raise BadOption(
                f"this prompt is no row of the task: {str(prompt)[:200]!r}. Train on task.dataset()"
            )
        return row

    def _columns(
        self,
        rows: Sequence[Row],
        episodes: Sequence[Episode],
        policy: TrainerPolicy,
        trainer: Any,
    ) -> dict[str, Any]:
        filler = trainer.processing_class.eos_token_id
        ids: list[tuple[list[int], list[int], list[int], list[float]]] = []
        cut = several = 0
        for row, episode in zip(rows, episodes, strict=True):
            if episode.failure is not None:  # TRL takes no empty rows
                ids.append((policy.encode(row.messages), [filler], [0], [0.0]))
                continue
            joined = transcript([step.generation for step in episode.steps])
            several += len(episode.steps) > 1
            cut += joined.steps < len(episode.steps)
            ids.append((joined.prompt_ids, joined.completion_ids, joined.mask, joined.logprobs))
        _tell_of_cuts(cut, several)
        logprobs = [row[3] for row in ids]
        return {
            "prompt_ids": [row[0] for row in ids],
            "completion_ids": [row[1] for row in ids],
            "env_mask": [row[2] for row in ids],
            "logprobs": logprobs if all(logprobs) else None,
            REWARD: [_or_none(episode.total_reward) for episode in episodes],
            CORRECT: [episode.correct for episode in episodes],
            FAILURE: [episode.failure and episode.failure["type"] for episode in episodes],
        }

    def _count(self, episodes: Sequence[Episode], trainer: Any) -> None:
        failures = [episode.failure for episode in episodes if episode.failure is not None]
        self.failures.update(failure["type"] for failure in failures)
        if len(failures) == len(episodes):
            first = failures[0]
            raise WorldFailure(
                f"all {len(episodes)} episodes of a batch failed, the first with "
                f"{first['type']}: {first['message']}"
            )
        others = [
            function
            for function in trainer.reward_funcs
            if function != self.reward and not hasattr(function, "_unless_failed")
        ]
        if failures and others:
            warnings.warn(
                f"{len(failures)} of {len(episodes)} episodes failed, and TRL pays such a row what "
                f"the {len(others)} other reward functions say of it, in the group's mean too. "
                "Wrap them: reward_funcs=[task.reward, task.unless_failed(other)]",
                RowsDropped,
                stacklevel=4,
            )

    def _scored(self, completions: Sequence[Any], columns: Mapping[str, Any]) -> dict[str, Any]:
        """What an episode of each completion is paid, where TRL has sampled."""
        if not self.rows.one_completion or self.rows.stop:
            why = "steps end with a stop string, after which TRL goes on"
            more = "an episode is more than one completion"
            raise BadOption(
                f"rollout_func=task.rollout is needed: {why if self.rows.stop else more}"
            )
        if missing := {"problem", "start_step", "seed"} - columns.keys():
            raise BadOption(f"the data set lacks {sorted(missing)}; train on task.dataset()")
        starts = [
            self.rows.start({"problem": problem, "start_step": start_step, "seed": seed})
            for problem, start_step, seed in zip(
                columns["problem"], columns["start_step"], columns["seed"], strict=True
            )
        ]
        paid = self._stepped(starts, [_said(completion) for completion in completions])
        return {REWARD: [reward for reward, _ in paid], CORRECT: [right for _, right in paid]}

    def _stepped(
        self, starts: Sequence[Start], texts: Sequence[str]
    ) -> list[tuple[Reward, bool | None]]:
        """(reward, verdict) of each one's only step; (None, None) where the library failed."""
        envs = self.rows.pool.take(len(starts))
        begun = reset_many(envs, [s.seed for s in starts], [s.options for s in starts])
        live = [i for i, result in enumerate(begun) if not isinstance(result, Failure)]
        self.failures.update(type(r).__name__ for r in begun if isinstance(r, Failure))
        paid: list[tuple[Reward, bool | None]] = [(None, None)] * len(starts)
        results = step_many([envs[i] for i in live], [texts[i] for i in live])
        for i, (_, reward, _, _, info) in zip(live, results, strict=True):
            if "failure" in info:
                self.failures[info["failure"]["type"]] += 1
            else:
                paid[i] = reward, correct_of(info)
        return paid


def _said(completion: Any) -> str:
    """The text of a completion, with the thoughts that a template's parser took out of it."""
    if isinstance(completion, str):
        return completion
    message = completion[-1]
    content = cast(str, message.get("content") or "")
    thought = next((message[name] for name in _THOUGHTS if message.get(name)), None)
    return content if thought is None else f"<think>{thought}</think>{content}"


def _text(messages: Sequence[Mapping[str, Any]]) -> str:
    return "".join(message["content"] for message in messages)


def _or_none(reward: float) -> Reward:
    return None if math.isnan(reward) else reward


def _tell_of_cuts(cut: int, several: int) -> None:
    """Says that rows hold only the beginning of their episodes; BadOption if all of them do."""
    if not cut:
        return
    why = (
        "the next prompt does not continue what was sampled: thinking is stripped from the "
        "history, or a text was read differently from how it was sampled"
    )
    if cut == several:
        raise BadOption(
            f"no episode of this batch fits into one row of TRL beyond its first steps: {why}. Use "
            "granularity='solution', each='step', or TRLTools, the tools form"
        )
    warnings.warn(
        f"{cut} of {several} episodes of several steps are trained on only up to where {why}",
        RowsDropped,
        stacklevel=4,
    )


def _datasets() -> Any:
    try:
        return importlib.import_module("datasets")
    except ModuleNotFoundError as error:
        if error.name != "datasets":
            raise
        raise MissingExtra("datasets", "trl") from None

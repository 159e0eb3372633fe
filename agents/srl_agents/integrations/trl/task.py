"""An environment for TRL's ``GRPOTrainer``: a data set, a rollout and a reward function."""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from srl_agents.integrations.rows import (
    Maker,
    Row,
    Rows,
    RowsDropped,
    RowSettings,
    prompt_key,
    verdict_of,
    warn_of_spreading,
    with_thought,
)
from srl_agents.integrations.transcript import Transcript, transcript
from srl_agents.integrations.trl.sampling import Sampler, TrainerPolicy, trainer_policy
from srl_env.batch.stepping import reset_many, step_many
from srl_env.errors import BadOption, Failure, WorldFailure
from srl_env.policy import Sampling
from srl_env.rollout import Episode, rollout

Reward = float | None
REWARD, CORRECT, FAILURE = "srl_reward", "srl_correct", "srl_failure"
"""The columns that ``rollout`` adds."""

_THOUGHTS = ("reasoning_content", "thinking")  # keys that templates use for split-off reasoning
_WHY_CUT = (
    "the next prompt does not continue the sampled text: reasoning is removed from the history, or "
    "a text was encoded differently from how it was sampled"
)


class TRLTask:
    """The arguments of ``GRPOTrainer``: ``dataset()``, ``reward`` and ``rollout``.

    failures: number of infrastructure failures, by type. Such rows have no reward (None) and no
    token that is trained on.
    """

    def __init__(
        self,
        env: str | Maker,
        reward_mode: str = "srl",
        *,
        sampler: Sampler = "trl",
        **options: Any,
    ) -> None:
        """env: an id or another name; or a function that makes an environment.

        sampler: "trl" samples with TRL's settings, "own" with our sampler (see
        ``srl_agents.integrations.trl.sampling``). options: the fields of
        ``srl_agents.integrations.rows.RowSettings``; others are arguments of the environment.
        Raises BadOption for settings that would spread the rewards of steps, and without rows.
        """
        if sampler not in get_args(Sampler):
            raise BadOption(f"sampler must be 'trl' or 'own'; got {sampler!r}")
        settings, arguments = RowSettings.split({"reward_mode": reward_mode, **options})
        self.rows, self.sampler = Rows(env, settings, arguments), sampler
        self.failures: Counter[str] = Counter()
        self._rows: dict[Any, Row] = {row.text: row for row in self.rows.rows}
        self._rows |= {prompt_key(row.messages): row for row in self.rows.rows}
        self._sampling: tuple[Any, TrainerPolicy] | None = None

    def dataset(self, *, chat: bool = True) -> Any:
        """A ``datasets.Dataset`` with one row per start.

        Columns: "prompt" (chat messages; with ``chat=False`` their texts joined, for a tokenizer
        without a chat template), "problem", "problem_id", "start_step", "seed".
        """
        return self.rows.dataset(chat=chat)

    def rollout(self, prompts: Sequence[Any], trainer: Any) -> dict[str, Any]:
        """TRL's ``rollout_func``: an episode for each prompt.

        prompts: of ``dataset()``, already repeated ``num_generations`` times. Token ids are those
        that were sampled. ``env_mask`` is 0 for the environment's tokens and for all of a failed
        row. Raises WorldFailure if every episode failed.
        """
        policy = self._policy(trainer)
        rows = [self._row(prompt) for prompt in prompts]
        starts = [self.rows.start(row, number) for number, row in enumerate(rows)]
        sampling = Sampling(trainer.temperature, trainer.max_completion_length)
        episodes = rollout(self.rows.pool, policy, starts, sampling)
        self._count_failures(episodes, trainer)
        warn_of_spreading(max(sum(s.reward != 0 for s in e.steps) for e in episodes), "TRL")
        return _columns(rows, episodes, policy, trainer.processing_class.eos_token_id)

    def reward(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[Reward]:
        """TRL's reward function: the reward of each row, None for an infrastructure failure.

        After ``rollout`` it returns the episodes' rewards. Without ``rollout``, TRL has sampled
        and the completions are stepped here; BadOption if an episode is more than one completion.
        """
        if REWARD not in columns:
            columns |= self._stepped(completions, columns)
        rewards: list[Reward] = columns[REWARD]
        if log := columns.get("log_metric"):
            known = [correct for correct in columns[CORRECT] if correct is not None]
            if known:
                log("srl/correct", sum(known) / len(known))
            log("srl/failures", float(sum(reward is None for reward in rewards)))
        return rewards

    def unless_failed(self, function: Callable[..., Sequence[Reward]]) -> Callable[..., Any]:
        """Another reward function, with None for rows in which the infrastructure failed.

        TRL sums its reward functions and skips None. Without this, a failed row would get the
        sum of the others.
        """
        if inspect.iscoroutinefunction(function):
            raise BadOption("unless_failed() needs a plain function; got a coroutine function")

        @functools.wraps(function)
        def guarded(**columns: Any) -> list[Reward]:
            failed = columns.get(FAILURE) or [None] * len(columns["prompts"])
            found = function(**columns)
            return [None if bad else r for bad, r in zip(failed, found, strict=True)]

        guarded.__dict__["_unless_failed"] = True
        return guarded

    def _policy(self, trainer: Any) -> TrainerPolicy:
        """The trainer's policy, made and checked once."""
        if self._sampling is None or self._sampling[0] is not trainer:
            self._check(trainer)
            self._sampling = trainer, trainer_policy(trainer, self.sampler)
        return self._sampling[1]

    def _check(self, trainer: Any) -> None:
        if self.reward not in trainer.reward_funcs:
            raise BadOption(
                "rollout_func=task.rollout needs reward_funcs=task.reward of the same task, alone "
                "or among others; otherwise nothing rewards the steps"
            )
        if trainer.mask_truncated_completions and self.rows.stop:
            raise BadOption(
                "mask_truncated_completions=True would mask every step: steps end with "
                f"{self.rows.stop}, not with an end-of-text token"
            )

    def _row(self, prompt: Any) -> Row:
        row = self._rows.get(prompt if isinstance(prompt, str) else prompt_key(prompt))
        if row is None:
            raise BadOption(
                f"the prompt must be a row of the task; got {str(prompt)[:200]!r}. Fix: train on "
                "task.dataset()"
            )
        return row

    def _count_failures(self, episodes: Sequence[Episode], trainer: Any) -> None:
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
                f"{len(failures)} of {len(episodes)} episodes failed. TRL gives such a row the sum "
                f"of the {len(others)} other reward functions, and uses it in the group's mean. "
                "Fix: reward_funcs=[task.reward, task.unless_failed(other)]",
                RowsDropped,
                stacklevel=4,
            )

    def _stepped(self, completions: Sequence[Any], columns: Mapping[str, Any]) -> dict[str, Any]:
        """Rewards and verdicts of completions that TRL sampled; None for a failure."""
        if not self.rows.one_completion or self.rows.stop:
            why = "steps end with a stop string, and TRL samples past it"
            more = "an episode is more than one completion"
            raise BadOption(
                f"rollout_func=task.rollout is needed: {why if self.rows.stop else more}"
            )
        names = ("problem", "start_step", "seed")
        if missing := {*names} - columns.keys():
            raise BadOption(f"the data set lacks {sorted(missing)}. Fix: train on task.dataset()")
        values = zip(*(columns[name] for name in names), strict=True)
        starts = [self.rows.start(dict(zip(names, row, strict=True))) for row in values]
        envs = self.rows.pool.take(len(starts))
        begun = reset_many(envs, [s.seed for s in starts], [s.options for s in starts])
        live = [i for i, result in enumerate(begun) if not isinstance(result, Failure)]
        self.failures.update(type(r).__name__ for r in begun if isinstance(r, Failure))
        rewards: list[Reward] = [None] * len(starts)
        correct: list[bool | None] = [None] * len(starts)
        results = step_many([envs[i] for i in live], [_text(completions[i]) for i in live])
        for i, (_, reward, _, _, info) in zip(live, results, strict=True):
            if "failure" in info:
                self.failures[info["failure"]["type"]] += 1
            else:
                rewards[i], correct[i] = reward, verdict_of(info)
        return {REWARD: rewards, CORRECT: correct}


def _columns(
    rows: Sequence[Row], episodes: Sequence[Episode], policy: TrainerPolicy, filler: int
) -> dict[str, Any]:
    """The columns of a rollout. filler: the one token of a failed row; TRL refuses empty rows."""
    found: list[Transcript] = []
    for row, episode in zip(rows, episodes, strict=True):
        if episode.failure is None:
            found.append(transcript([step.generation for step in episode.steps]))
        else:
            found.append(Transcript(policy.encode(row.messages), [filler], [0], [0.0], 0))
    _check_cuts(found, episodes)
    logprobs = [each.logprobs for each in found]
    return {
        "prompt_ids": [each.prompt_ids for each in found],
        "completion_ids": [each.completion_ids for each in found],
        "env_mask": [each.mask for each in found],
        "logprobs": logprobs if all(logprobs) else None,
        REWARD: [None if math.isnan(e.total_reward) else e.total_reward for e in episodes],
        CORRECT: [episode.correct for episode in episodes],
        FAILURE: [episode.failure and episode.failure["type"] for episode in episodes],
    }


def _check_cuts(transcripts: Sequence[Transcript], episodes: Sequence[Episode]) -> None:
    """Warns about rows with only the beginning of their episode; BadOption if all are such."""
    pairs = [(t, len(e.steps)) for t, e in zip(transcripts, episodes, strict=True) if not e.failure]
    several = sum(steps > 1 for _, steps in pairs)
    cut = sum(each.steps < steps for each, steps in pairs)
    if cut and cut == several:
        raise BadOption(
            f"no episode of this batch fits into one row of TRL beyond its first steps: {_WHY_CUT}."
            " Fix: granularity='solution', each='step', or TRLTools, the tools form"
        )
    if cut:
        warnings.warn(
            f"{cut} of {several} episodes of several steps are trained on only in part: {_WHY_CUT}",
            RowsDropped,
            stacklevel=5,
        )


def _text(completion: Any) -> str:
    """A completion with the reasoning that a template's parser split off."""
    if isinstance(completion, str):
        return completion
    message = completion[-1]
    thought = next((message[name] for name in _THOUGHTS if message.get(name)), None)
    return with_thought(cast(str, message.get("content") or ""), thought)

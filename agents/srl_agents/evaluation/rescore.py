"""Saved episodes judged again, under another reward mode or verifier, without inference.

The saved completions are replayed in an environment like the original one, which rewards and judges
them. So its step checker, its similarity and its expert are used, and its world moves again.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice

from srl_agents.evaluation.folder import SavedEvaluation
from srl_agents.evaluation.measures import Comparison, compared
from srl_agents.evaluation.plan import Finished, Kind, Planned
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, PolicyFailure
from srl_env.policy import Generation
from srl_env.rewards import OF_TRAINING, RewardMode, SideBySide
from srl_env.rollout import EnvPool, Episode, Start, rollout
from srl_env.verifiers import Verifier

OnProgress = Callable[[int, int], None]
Judged = tuple[Planned, Episode, Episode]
"""An episode with its plan, as it was and judged again."""

_AT_ONCE = 512


def rescore(
    saved: SavedEvaluation,
    *kinds: Kind,
    reward_mode: str | RewardMode | None = None,
    verifier: Verifier | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[Judged]:
    """The episodes of some kinds, or of all, judged again, in order.

    reward_mode: None for each episode's own. verifier: None for the environment's. An episode that
    a failure ended keeps this failure. Raises BadOption if neither is given, and
    for a verifier if the environment judges episodes itself.
    """
    if reward_mode is None and verifier is None:
        raise BadOption("rescoring needs a reward mode, a verifier, or both; got neither")
    _make_env(saved, verifier).close()
    pool = EnvPool(lambda: _make_env(saved, verifier))
    return _rescored(saved, kinds, pool, reward_mode, on_progress)


def _rescored(
    saved: SavedEvaluation,
    kinds: Sequence[Kind],
    pool: EnvPool,
    reward_mode: str | RewardMode | None,
    on_progress: OnProgress | None,
) -> Iterator[Judged]:
    done, total, finished = 0, saved.count(*kinds), saved.episodes(*kinds)
    with closing(pool):
        while some := list(islice(finished, _AT_ONCE)):
            yield from _replayed(pool, some, reward_mode)
            done += len(some)
            if on_progress is not None:
                on_progress(done, total)


def measure_again(
    saved: SavedEvaluation,
    measures: Sequence[str],
    on_progress: OnProgress | None = None,
    by_model: Callable[[list[Episode]], list[Episode]] | None = None,
) -> Comparison:
    """The measures of every sampled step, in one replay, with the saved verdicts.

    by_model: adds the parts of measures that an environment does not compute, "log-likelihood".
    """
    of_texts = tuple(name for name in measures if name != OF_TRAINING)
    mode = SideBySide(of_texts or ("characters",))
    judged = rescore(saved, "sampled", "forced_sampled", reward_mode=mode, on_progress=on_progress)
    again = [replace(new, verdict=old.verdict) for _, old, new in judged]
    return compared(by_model(again) if by_model else again, measures)


class Changes:
    """What a rescoring changed, episode by episode.

    verdicts: the number of episodes for each change, as {("wrong", "correct"): 3}. before, after:
    the mean reward of a step in each sampled episode that did not fail.
    """

    def __init__(self) -> None:
        self.verdicts = Counter[tuple[str, str]]()
        self.before, self.after = array("d"), array("d")

    def add(self, planned: Planned, old: Episode, new: Episode) -> None:
        """Counts one episode."""
        self.verdicts[_verdict(old), _verdict(new)] += 1
        for rewards, episode in ((self.before, old), (self.after, new)):
            if planned.kind == "sampled" and episode.failure is None and episode.steps:
                rewards.append(episode.total_reward / len(episode.steps))

    @property
    def changed(self) -> dict[str, int]:
        """{"wrong → correct": 3, …}."""
        changes = sorted(self.verdicts.items())
        return {" → ".join(change): count for change, count in changes if change[0] != change[1]}


def _verdict(episode: Episode) -> str:
    if episode.correct is None:
        return "not judged" if episode.failure is None else "failed"
    return "correct" if episode.correct else "wrong"


def _make_env(saved: SavedEvaluation, verifier: Verifier | None) -> ReasoningEnv:
    env = saved.make_env()
    if verifier is not None:
        if not env.plain_judge:
            raise BadOption(
                f"another verifier cannot be used: {saved.record['env']} judges episodes itself"
            )
        env.verifier = verifier
    return env


def _replayed(
    pool: EnvPool, finished: Sequence[Finished], reward_mode: str | RewardMode | None
) -> Iterator[Judged]:
    starts = [_start(planned.start, episode, reward_mode) for planned, episode in finished]
    episodes = rollout(pool, _EndOfRecording(), starts)
    for (planned, old), new in zip(finished, episodes, strict=True):
        stopped = _was_stopped(new, old)
        yield planned, old, replace(new, failure=old.failure) if stopped else new


def _start(start: Start, episode: Episode, reward_mode: str | RewardMode | None) -> Start:
    """The episode's start with its completions. A finished episode ends where it ended."""
    options = {
        **start.options,
        "reward_mode": reward_mode or episode.reward_mode,
        "continuation": episode.continuation,
        "granularity": episode.granularity,
        "start_step": episode.start_step,
    }
    if episode.failure is None:
        options["max_steps"] = max(1, len(episode.steps))
    written = tuple(step.generation for step in episode.steps)
    return replace(start, options=options, written=written)


def _was_stopped(new: Episode, old: Episode) -> bool:
    """Whether the replay ended where a failure had ended the episode."""
    stopped = new.failure is not None and new.failure["type"] == "PolicyFailure"
    return stopped and old.failure is not None


class _EndOfRecording:
    """A policy for environments whose recorded completions are used up."""

    def act(self, envs: Sequence[ReasoningEnv]) -> list[Generation]:
        """A failure for each environment."""
        return [PolicyFailure("the recording ends here") for _ in envs]  # type: ignore[misc]

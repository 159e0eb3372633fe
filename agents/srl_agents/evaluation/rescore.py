"""Saved episodes judged again, under another reward mode or verifier, without inference.

The saved completions are replayed in an environment like the original one, which rewards and judges
them. So its step checker, its similarity and its expert are used, and its world moves again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from srl_agents.evaluation.folder import SavedEvaluation
from srl_agents.evaluation.measures import Comparison, compared
from srl_agents.evaluation.plan import Finished
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, PolicyFailure
from srl_env.policy import Generation
from srl_env.rewards import OF_TRAINING, RewardMode, SideBySide
from srl_env.rollout import EnvPool, Episode, Start, rollout
from srl_env.verifiers import Verifier

OnProgress = Callable[[int, int], None]
_AT_ONCE = 512


def rescore(
    saved: SavedEvaluation,
    *,
    reward_mode: str | RewardMode | None = None,
    verifier: Verifier | None = None,
    on_progress: OnProgress | None = None,
) -> list[Finished]:
    """The episodes judged again, in order.

    reward_mode: None for each episode's own. verifier: None for the environment's. An episode that
    a failure ended keeps this failure. Raises BadOption if neither is given, and
    for a verifier if the environment judges episodes itself.
    """
    if reward_mode is None and verifier is None:
        raise BadOption("rescoring needs a reward mode, a verifier, or both; got neither")
    pool = EnvPool(lambda: _make_env(saved, verifier))
    judged: list[Finished] = []
    try:
        for begin in range(0, len(saved.finished), _AT_ONCE):
            judged += _replayed(pool, saved.finished[begin : begin + _AT_ONCE], reward_mode)
            if on_progress is not None:
                on_progress(len(judged), len(saved.finished))
    finally:
        pool.close()
    return judged


def measure_again(
    saved: SavedEvaluation,
    measures: Sequence[str],
    on_progress: OnProgress | None = None,
    by_model: Callable[[list[Episode]], list[Episode]] | None = None,
) -> Comparison:
    """The measures of every sampled step, in one replay, with the saved verdicts.

    by_model: adds the parts of measures that an environment does not compute, "log-likelihood".
    """
    kinds = ("sampled", "forced_sampled")
    sampled = replace(saved, finished=tuple(f for f in saved.finished if f[0].kind in kinds))
    of_texts = tuple(name for name in measures if name != OF_TRAINING)
    mode = SideBySide(of_texts or ("characters",))
    again = rescore(sampled, reward_mode=mode, on_progress=on_progress)
    episodes = [episode for _, episode in again]
    pairs = zip(sampled.finished, by_model(episodes) if by_model else episodes, strict=True)
    return compared((replace(new, verdict=old.verdict) for (_, old), new in pairs), measures)


def changed_verdicts(before: Sequence[Finished], after: Sequence[Finished]) -> Mapping[str, int]:
    """The number of episodes for each change of verdict: {"wrong → correct": 3, …}."""
    pairs = zip(before, after, strict=True)
    changes = Counter((_verdict(one), _verdict(other)) for (_, one), (_, other) in pairs)
    return {" → ".join(c): count for c, count in sorted(changes.items()) if c[0] != c[1]}


def step_rewards(finished: Sequence[Finished]) -> tuple[float, ...]:
    """The mean reward of a step in each sampled episode that did not fail, in order."""
    return tuple(
        episode.total_reward / len(episode.steps)
        for planned, episode in finished
        if planned.kind == "sampled" and episode.failure is None and episode.steps
    )


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
) -> list[Finished]:
    starts = [_start(planned.start, episode, reward_mode) for planned, episode in finished]
    episodes = rollout(pool, _EndOfRecording(), starts)
    return [
        (planned, replace(new, failure=old.failure) if _was_stopped(new, old) else new)
        for (planned, old), new in zip(finished, episodes, strict=True)
    ]


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

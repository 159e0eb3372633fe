"""Saved episodes judged again, under another reward mode or verifier, without inference.

What the policy wrote is written again, into an environment like the one it was written for; the
environment pays and judges. So whatever an environment knows (its step checker, its similarity,
its expert) takes part, and the world, if there is one, moves again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from srl_agents.evaluation.folder import SavedEvaluation
from srl_agents.evaluation.run import Run
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure, PolicyFailure
from srl_env.policy import Generation
from srl_env.rollout import EnvPool, Episode, Start, rollout
from srl_env.verifiers import Verifier

OnProgress = Callable[[int, int], None]


def rescore(
    saved: SavedEvaluation,
    *,
    reward_mode: str | None = None,
    verifier: Verifier | None = None,
    on_progress: OnProgress | None = None,
) -> list[Run]:
    """The episodes judged again, in order.

    reward_mode: None for each episode's own. verifier: None for the environment's. An episode
    that the policy did not finish, because of a failure, fails again where its recording ends.
    Raises BadOption where neither is given, and for a verifier where the environment judges
    itself.
    """
    if reward_mode is None and verifier is None:
        raise BadOption("give a reward mode, a verifier, or both; or nothing would change")
    pool = EnvPool(lambda: _env(saved, verifier))
    judged: list[Run] = []
    try:
        for begin in range(0, len(saved.runs), _AT_ONCE):
            judged += _again(pool, saved.runs[begin : begin + _AT_ONCE], reward_mode)
            if on_progress is not None:
                on_progress(len(judged), len(saved.runs))
    finally:
        pool.close()
    return judged


def changed_verdicts(before: Sequence[Run], after: Sequence[Run]) -> Mapping[str, int]:
    """How many episodes went from one verdict to another: {"wrong → right": 3, …}."""
    counts: dict[str, int] = {}
    for (_, one), (_, other) in zip(before, after, strict=True):
        words = _word(one), _word(other)
        if words[0] != words[1]:
            name = " → ".join(words)
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def step_rewards(runs: Sequence[Run]) -> tuple[float, ...]:
    """The mean reward of a step in each sampled episode that did not fail, in order."""
    return tuple(
        episode.total_reward / len(episode.steps)
        for planned, episode in runs
        if planned.kind == "sampled" and episode.failure is None and episode.steps
    )


_AT_ONCE = 512


def _word(episode: Episode) -> str:
    if episode.correct is None:
        return "not judged" if episode.failure is None else "failed"
    return "right" if episode.correct else "wrong"


def _env(saved: SavedEvaluation, verifier: Verifier | None) -> ReasoningEnv:
    env = saved.make_env()
    if verifier is not None:
        if not env.plain_judge:
            raise BadOption(
                f"{saved.record['env']} judges episodes by itself; another verifier has no say"
            )
        env.verifier = verifier
    return env


def _again(pool: EnvPool, runs: Sequence[Run], reward_mode: str | None) -> list[Run]:
    starts = [_start(planned.start, episode, reward_mode) for planned, episode in runs]
    recording = _Recording(pool.take(len(runs)), [episode for _, episode in runs])
    episodes = rollout(pool, recording, starts)
    return [(planned, episode) for (planned, _), episode in zip(runs, episodes, strict=True)]


def _start(start: Start, episode: Episode, reward_mode: str | None) -> Start:
    """Where the episode began. A finished one ends where it ended, whatever a verifier finds."""
    options = {
        **start.options,
        "reward_mode": reward_mode or episode.reward_mode,
        "continuation": episode.continuation,
        "granularity": episode.granularity,
        "start_step": episode.start_step,
    }
    if episode.failure is None:
        options["max_steps"] = max(1, len(episode.steps))
    return replace(start, options=options)


class _Recording:
    """Writes in each environment what was written in its episode."""

    def __init__(self, envs: Sequence[ReasoningEnv], episodes: Sequence[Episode]) -> None:
        self._episodes = {id(env): episode for env, episode in zip(envs, episodes, strict=True)}
        self._written = {id(env): 0 for env in envs}

    def act(self, envs: Sequence[ReasoningEnv]) -> list[Generation]:
        """The next recorded generation of each; a failure in its place where there is none."""
        return [self._next(id(env)) for env in envs]  # type: ignore[misc]

    def _next(self, env: int) -> Generation | Failure:
        episode, number = self._episodes[env], self._written[env]
        self._written[env] += 1
        if number < len(episode.steps):
            return episode.steps[number].generation
        what = (episode.failure or {}).get("message", "the environment goes on")
        return PolicyFailure(f"the recording ends after {number} steps: {what}")

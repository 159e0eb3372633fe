"""Saved episodes judged again, under another reward mode or verifier, without inference.

What the policy wrote is written again, into an environment like the one it was written for; the
environment pays and judges. So whatever an environment knows (its step checker, its similarity,
its expert) takes part, and the world, if there is one, moves again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from srl_agents.evaluation import Part
from srl_agents.saved import SavedEvaluation
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
) -> list[tuple[Part, list[Episode]]]:
    """The parts with their episodes judged again, in order.

    reward_mode: None for each episode's own. verifier: None for the environment's. An episode
    that the policy did not finish, because of a failure, fails again where its recording ends.
    Raises BadOption where neither is given, and for a verifier where the environment judges
    itself.
    """
    if reward_mode is None and verifier is None:
        raise BadOption("give a reward mode, a verifier, or both; or nothing would change")
    pool = EnvPool(lambda: _env(saved, verifier))
    total = sum(len(episodes) for _, episodes in saved.parts)
    judged: list[tuple[Part, list[Episode]]] = []
    done = 0
    try:
        for part, episodes in saved.parts:
            judged.append((part, _again(pool, part, episodes, reward_mode)))
            done += len(episodes)
            if on_progress is not None:
                on_progress(done, total)
    finally:
        pool.close()
    return judged


def changed_verdicts(
    before: Sequence[tuple[Part, Sequence[Episode]]],
    after: Sequence[tuple[Part, Sequence[Episode]]],
) -> Mapping[str, int]:
    """How many episodes went from one verdict to another: {"wrong → right": 3, …}."""
    counts: dict[str, int] = {}
    for (_, old), (_, new) in zip(before, after, strict=True):
        for one, other in zip(old, new, strict=True):
            if one.correct != other.correct:
                name = f"{_WORDS[one.correct]} → {_WORDS[other.correct]}"
                counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def step_rewards(parts: Sequence[tuple[Part, Sequence[Episode]]]) -> tuple[float, ...]:
    """The mean reward of a step in each sampled episode that did not fail, in order."""
    return tuple(
        episode.total_reward / len(episode.steps)
        for part, episodes in parts
        for episode in episodes
        if part.kind == "sampled" and episode.failure is None and episode.steps
    )


_WORDS = {True: "right", False: "wrong", None: "failed"}


def _env(saved: SavedEvaluation, verifier: Verifier | None) -> ReasoningEnv:
    env = saved.make_env()
    if verifier is not None:
        if not env.plain_judge:
            raise BadOption(
                f"{saved.record['env']} judges episodes by itself; another verifier has no say"
            )
        env.verifier = verifier
    return env


def _again(
    pool: EnvPool, part: Part, episodes: Sequence[Episode], reward_mode: str | None
) -> list[Episode]:
    starts = [
        _start(start, episode, reward_mode)
        for start, episode in zip(part.starts, episodes, strict=True)
    ]
    envs = pool.take(len(starts))
    return rollout(pool, _Recording(envs, episodes), starts)


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

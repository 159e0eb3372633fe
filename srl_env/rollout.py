"""From starts to episodes: the live episodes together in one batch for the policy.

What comes out is what training, evaluation and the viewer read: ``Episode`` and ``Step``,
token-exact, with failures kept apart from rewards. Nothing here knows of models or losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, cast, runtime_checkable

from srl_env.batch.stepping import reset_many, step_many
from srl_env.environment import ReasoningEnv
from srl_env.episode.state import StepResult
from srl_env.errors import BadOption, Failure, PromptRefused
from srl_env.policy import Generation, Policy, Sampling
from srl_env.rewards.record import Continuation, Granularity
from srl_env.seeding import derive_seed
from srl_env.text.prompt import Message, Messages
from srl_env.text.unicode import utf8_safe
from srl_env.verifiers.responsibility import POLICY_FAULT, fault_verdict


@runtime_checkable
class PrivilegedPolicy(Protocol):
    """A policy that may look into the environment itself: experts and other oracles."""

    def act(self, envs: Sequence[ReasoningEnv]) -> list[Generation]:
        """One generation for each environment, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Start:
    """Where an episode begins: what ``reset`` is given, and the group it is compared in.

    The copies of one group take the same options and the same seed: then problem, trajectory
    and world are the same for all. ``rollout`` numbers starts with the same seed by the reset
    option ``copy`` unless it is given, so that each draws random rewards of its own.
    sampling_seed: of what is sampled, step by step, in this episode alone (``Sampling.seeds``);
    None leaves it to the policy. written: generations of the same episode, interrupted before;
    its first steps take them again, and the policy is asked for the rest.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    group: int = 0
    sampling_seed: int | None = None
    written: tuple[Generation, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an episode.

    messages: what the policy was shown. index: the step's number in the whole solution.
    reward: NaN where ``failure`` is set. expert_action: what the expert does at this step, for
    those who look at it afterwards; None beyond the expert's end or without an expert.
    """

    messages: tuple[Message, ...]
    generation: Generation
    action: str
    index: int
    reward: float
    reward_parts: Mapping[str, float]
    format_ok: bool
    legal: bool | None
    failure: Mapping[str, str] | None
    expert_action: str | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """A finished episode.

    verdict: as in ``info``; None where the library failed, which ``failure`` then says, and where
    the steps judged are the expert's (continuation "expert"). start_step: how many of the expert's
    steps were given as context, of which the verdict does not speak. A failure before the first
    step leaves ``steps`` empty.
    """

    problem_id: str
    start_step: int
    reward_mode: str
    continuation: Continuation
    granularity: Granularity
    steps: tuple[Step, ...]
    verdict: Mapping[str, Any] | None
    failure: Mapping[str, str] | None
    group: int

    @property
    def total_reward(self) -> float:
        """The sum of the rewards; NaN where the library failed."""
        return math.nan if self.failure else math.fsum(step.reward for step in self.steps)

    @property
    def correct(self) -> bool | None:
        """The verifier's word on the policy's solution; None where there is no verdict on it."""
        return None if self.verdict is None else bool(self.verdict["correct"])

    @property
    def policy_fault(self) -> str | None:
        """Why the policy is responsible for a failure; None where there was none."""
        return None if self.verdict is None else self.verdict.get(POLICY_FAULT)

    def to_json(self) -> dict[str, Any]:
        """The episode as JSON-safe data; a reward that is not a number becomes None."""
        return {**_fields(self), "steps": [_step_to_json(step) for step in self.steps]}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Episode:
        """The episode that ``to_json`` wrote, also after a way through JSON text."""
        return cls(**{**row, "steps": tuple(_step_from_json(step) for step in row["steps"])})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rollout is: episodes finished, episodes in all, steps taken so far."""

    finished: int
    total: int
    steps: int


class EnvPool:
    """Environments kept for reuse, made when first needed."""

    def __init__(self, make: Callable[[], ReasoningEnv]) -> None:
        """make: a new environment, equal to all others of the pool."""
        self._make = make
        self._envs: list[ReasoningEnv] = []

    def take(self, count: int) -> list[ReasoningEnv]:
        """``count`` environments; the same ones every time, so one rollout at a time."""
        while len(self._envs) < count:
            self._envs.append(cast(ReasoningEnv, self._make().unwrapped))
        return self._envs[:count]

    def close(self) -> None:
        """Closes all environments."""
        while self._envs:
            self._envs.pop().close()


def rollout(
    envs: EnvPool,
    policy: Policy | PrivilegedPolicy,
    starts: Sequence[Start],
    sampling: Sampling | None = None,
    *,
    on_step: Callable[[Progress], None] | None = None,
) -> list[Episode]:
    """One finished episode for each start, in order.

    Every round shows the policy all live episodes at once. Stop strings that ``sampling``
    leaves out are the completion format's. on_step: called after every round.
    A failing reset, policy or step makes a failed episode; users' errors are raised.
    """
    rolling = EpisodeRunner(envs, policy, sampling)
    running = rolling.add(starts)
    while rolling.live:
        rolling.step()
        if on_step:
            done = len(running) - len(rolling.live)
            on_step(Progress(done, len(running), rolling.steps))
    return [run.episode() for run in running]


class EpisodeRunner:
    """Episodes under way: new ones join at any time, and each step moves some of them.

    live: those that have not ended, oldest first. steps: how many were taken in all.
    """

    def __init__(
        self, envs: EnvPool, policy: Policy | PrivilegedPolicy, sampling: Sampling | None = None
    ) -> None:
        """envs: used by nobody else meanwhile. Raises BadOption for what is not a policy."""
        if isinstance(policy, type) or not isinstance(policy, Policy | PrivilegedPolicy):
            raise BadOption(
                f"a policy is an object with generate(batch, sampling); got {policy!r:.80}. See "
                "srl_agents.policies for those that there are"
            )
        self._pool, self._policy, self._sampling = envs, policy, sampling or Sampling()
        self._free: list[ReasoningEnv] = []
        self._used = 0
        self.live: list[LiveEpisode] = []
        self.steps = 0

    def add(self, starts: Sequence[Start]) -> list[LiveEpisode]:
        """Begins an episode for each start, in order; one whose reset fails has ended."""
        running = _begin(self._take(len(starts)), starts)
        self.live += [run for run in running if not run.ended]
        return running

    def step(self, rows: int | None = None) -> list[LiveEpisode]:
        """Takes one step in the oldest ``rows`` live episodes (None: all); those that ended."""
        moving = self.live[:rows]
        made = list(_generate(self._policy, moving, self._sampling))
        refused = [i for i, one in enumerate(made) if isinstance(one, PromptRefused)]
        again = [i for i in refused if moving[i].wrote]
        if again:
            repeated = _generate(self._policy, [moving[i] for i in again], self._sampling)
            for i, one in zip(again, repeated, strict=True):
                made[i] = one
        self.steps += _step(moving, made)
        self.live = [run for run in self.live if not run.ended]
        return [run for run in moving if run.ended]

    def release(self, run: LiveEpisode) -> None:
        """Lets another episode have the environment of one that has ended."""
        self._free.append(run.env)

    def _take(self, count: int) -> list[ReasoningEnv]:
        while len(self._free) < count:
            self._used += 1
            self._free.append(self._pool.take(self._used)[-1])
        taken, self._free = self._free[:count], self._free[count:]
        return taken


def failed_episode(env: ReasoningEnv, start: Start, failure: Failure) -> Episode:
    """The episode of a start that was never run, because of a failure; ``env`` loses its own."""
    result = env.reset_failed(failure, seed=start.seed, options=start.options)
    return LiveEpisode(env, start, result[4], ended=True).episode()


@dataclass(slots=True)
class LiveEpisode:
    """An episode that is being made. ended: whether it is finished, or failed."""

    env: ReasoningEnv
    start: Start
    info: dict[str, Any]
    steps: list[Step] = field(default_factory=list)
    ended: bool = False

    @property
    def replaying(self) -> bool:
        """Whether the next step was written before, so that the policy is not asked."""
        return len(self.steps) < len(self.start.written)

    def add(self, generation: Generation, result: StepResult, expert: str | None) -> None:
        """Notes one step; expert: what the expert does there."""
        _, reward, terminated, truncated, info = result
        self.steps.append(
            Step(
                messages=tuple(self.info["messages"]),
                generation=_storable(generation),
                action=info["action"],
                index=self.info["step"],
                reward=reward,
                reward_parts=info["reward_parts"],
                format_ok=info["format_ok"],
                legal=info["legal"],
                failure=info.get("failure"),
                expert_action=expert,
            )
        )
        self.info, self.ended = info, terminated or truncated

    @property
    def wrote(self) -> bool:
        """Whether what the policy wrote is in the prompt."""
        return bool(self.steps) and self.env.continuation == "policy"

    def fail(self, failure: Failure) -> None:
        """Ends the episode where it stands: no step was taken.

        A prompt that is refused once the policy's own text is in it, and was not before, is the
        policy's fault, and the episode wrong.
        """
        if isinstance(failure, PromptRefused) and self.wrote:
            verdict = fault_verdict(f"{type(failure).__name__}: {failure}")
            self.info, self.ended = {**self.info, "verdict": verdict.to_info()}, True
        else:
            self.info, self.ended = self.env.fail(failure)[4], True

    def episode(self) -> Episode:
        """The episode, finished."""
        return Episode(
            problem_id=self.info["problem_id"],
            start_step=self.env.start_step,
            reward_mode=self.info["reward_mode"],
            continuation=self.env.continuation,
            granularity=self.env.granularity,
            steps=tuple(self.steps),
            verdict=self.info.get("verdict"),
            failure=self.info.get("failure"),
            group=self.start.group,
        )


def _begin(envs: Sequence[ReasoningEnv], starts: Sequence[Start]) -> list[LiveEpisode]:
    results = reset_many(envs, [s.seed for s in starts], [s.options for s in starts])
    running = []
    for env, start, result in zip(envs, starts, results, strict=True):
        if isinstance(result, Failure):
            running.append(LiveEpisode(env, start, env.fail(result)[4], ended=True))
        else:
            running.append(LiveEpisode(env, start, result[1]))
    return running


def _generate(
    policy: Policy | PrivilegedPolicy, live: Sequence[LiveEpisode], sampling: Sampling
) -> Sequence[Generation | Failure]:
    """One generation for each live episode, in order; one batch for each set of stop strings.

    What was written before is taken as it is.
    """
    made: dict[int, Generation | Failure] = {
        i: run.start.written[len(run.steps)] for i, run in enumerate(live) if run.replaying
    }
    asked = [i for i in range(len(live)) if i not in made]
    if isinstance(policy, PrivilegedPolicy):
        acts = _counted(policy.act([live[i].env for i in asked]), len(asked)) if asked else []
        made.update(zip(asked, acts, strict=True))
        return [made[i] for i in range(len(live))]
    batches: dict[tuple[str, ...], list[int]] = {}
    for i in asked:
        batches.setdefault(sampling.stop or _stop(live[i].env), []).append(i)
    for stop, members in batches.items():
        shown: list[Messages] = [live[i].info["messages"] for i in members]
        how = replace(sampling, stop=stop, seeds=_seeds([live[i] for i in members]))
        batch = _counted(policy.generate(shown, how), len(members))
        made.update(zip(members, batch, strict=True))
    return [made[i] for i in range(len(live))]


def _seeds(asked: Sequence[LiveEpisode]) -> tuple[int, ...]:
    """One for each row, if every episode has one of its own; by episode and step alone."""
    seeds = [
        derive_seed("sampling", run.start.sampling_seed, len(run.steps))
        for run in asked
        if run.start.sampling_seed is not None
    ]
    return tuple(seeds) if len(seeds) == len(asked) else ()


def _step(live: Sequence[LiveEpisode], generations: Sequence[Generation | Failure]) -> int:
    """Takes each generation's step; returns how many were taken."""
    moving: list[tuple[LiveEpisode, Generation]] = []
    for run, made in zip(live, generations, strict=True):
        if isinstance(made, Failure):
            run.fail(made)
        else:
            moving.append((run, made))
    experts = [run.env.expert_action for run, _ in moving]
    results = step_many([run.env for run, _ in moving], [made.text for _, made in moving])
    for (run, made), result, expert in zip(moving, results, experts, strict=True):
        run.add(made, result, expert)
    return len(moving)


def _stop(env: ReasoningEnv) -> tuple[str, ...]:
    """The format's stop strings; none where one action is a whole solution."""
    return env.format.stop if env.granularity == "step" else ()


def _counted(
    generations: Sequence[Generation | Failure], expected: int
) -> Sequence[Generation | Failure]:
    try:
        given = len(generations)
    except TypeError:
        given = -1
    if given != expected:
        what = type(generations).__name__ if given < 0 else given
        raise BadOption(
            f"a policy gives one generation for each of its prompts; got {what} for {expected}"
        )
    for made in generations:
        if not isinstance(made, Generation | Failure) or (
            isinstance(made, Generation) and not isinstance(made.text, str)
        ):
            raise BadOption(
                f"a policy gives Generation objects; got a {type(made).__name__} {made!r:.60}. "
                "Write srl_env.Generation(text)"
            )
    return generations


def _storable(generation: Generation) -> Generation:
    """The generation with its text as the environment took it, in valid Unicode."""
    text = utf8_safe(generation.text)
    return generation if text == generation.text else replace(generation, text=text)


def _fields(record: Episode | Step) -> dict[str, Any]:
    """The fields by name; not ``asdict``, which copies every token id by itself."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _step_to_json(step: Step) -> dict[str, Any]:
    return {
        **_fields(step),
        "messages": list(step.messages),
        "generation": step.generation.to_json(),
        "reward": step.reward if math.isfinite(step.reward) else None,
    }


def _step_from_json(row: Mapping[str, Any]) -> Step:
    return Step(
        **{
            **row,
            "messages": tuple(row["messages"]),
            "generation": Generation.from_json(row["generation"]),
            "reward": math.nan if row["reward"] is None else row["reward"],
        }
    )


AnyPolicy = Policy | PrivilegedPolicy

"""Rollouts: from starts to episodes, with all live episodes in one batch for the policy.

Training, evaluation and the viewer read the result: ``Episode`` and ``Step``, token-exact, with
failures separate from rewards. Nothing here knows of models or losses.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

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


AnyPolicy = Policy | PrivilegedPolicy


@dataclass(frozen=True, slots=True)
class Start:
    """Where an episode starts: the arguments of ``reset``, and the group it is compared in.

    All members of a group have the same options and the same seed, and so the same problem,
    trajectory and world. ``rollout`` numbers starts with the same seed by the reset option ``copy``
    unless it is given, so that each draws its own random rewards.
    sampling_seed: seeds what is sampled, step by step, in this episode alone (``Sampling.seeds``);
    None leaves it to the policy. written: generations of the same episode from an interrupted run.
    Its first steps take them again, and the policy is asked for the rest. env: its pool's name, if
    there are several.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    group: int = 0
    sampling_seed: int | None = None
    written: tuple[Generation, ...] = ()
    env: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an episode.

    messages: what the policy saw. index: the step's number in the whole solution. reward: NaN if
    ``failure`` is set. expert_action: the expert's action at this step, for later analysis; None
    after the expert's last step and without an expert. observation: the world's answer, if there
    is one, to the action that entered the history.
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
    observation: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The step as JSON-safe data; a reward that is not a number becomes None."""
        return {
            **_fields(self),
            "messages": list(self.messages),
            "generation": self.generation.to_json(),
            "reward": self.reward if math.isfinite(self.reward) else None,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Step:
        """The step that ``to_json`` wrote, also after JSON text."""
        read = {
            "messages": tuple(row["messages"]),
            "generation": Generation.from_json(row["generation"]),
            "reward": math.nan if row["reward"] is None else row["reward"],
        }
        return cls(**{**row, **read})


@dataclass(frozen=True, slots=True)
class Episode:
    """A finished episode.

    verdict: as in ``info``. It is None after a ``failure``, and if the judged steps are the
    expert's (continuation "expert"). start_step: how many of the expert's steps were given as
    context; the verdict does not cover them. A failure before the first step leaves ``steps``
    empty. env: the name of its environment, if there are several.
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
    env: str = ""

    @property
    def total_reward(self) -> float:
        """The sum of the rewards; NaN after a failure."""
        return math.nan if self.failure else math.fsum(step.reward for step in self.steps)

    @property
    def correct(self) -> bool | None:
        """Whether the verifier accepts the policy's solution; None without a verdict on it."""
        return None if self.verdict is None else bool(self.verdict["correct"])

    @property
    def policy_fault(self) -> str | None:
        """Why the policy is responsible for a failure, or None."""
        return None if self.verdict is None else self.verdict.get(POLICY_FAULT)

    def to_json(self) -> dict[str, Any]:
        """The episode as JSON-safe data."""
        return {**_fields(self), "steps": [step.to_json() for step in self.steps]}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Episode:
        """The episode that ``to_json`` wrote, also after JSON text."""
        return cls(**{**row, "steps": tuple(map(Step.from_json, row["steps"]))})


def _fields(record: Episode | Step) -> dict[str, Any]:
    """The fields by name; not ``asdict``, which copies every token id separately."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def sampled_turns(
    env: ReasoningEnv, continuation: Continuation, steps: Sequence[Step]
) -> tuple[tuple[int, ...], ...]:
    """The ids of the policy's own turns at the end of the prompt after these steps of an episode.

    As ``Sampling.turns``. Empty unless the format has tools and turns are messages of their own.
    """
    if continuation != "policy" or not hasattr(env.format, "tools") or not env.style.turns:
        return ()
    last = env.style.last_turns
    shown = steps if last is None else steps[max(0, len(steps) - last) :]
    ids = [step.generation.token_ids for step in shown if step.observation is not None]
    without = next((place for place in range(len(ids), 0, -1) if not ids[place - 1]), 0)
    return tuple(ids[without:])


EnvPools: TypeAlias = "EnvPool | Mapping[str, EnvPool]"
"""Environments of one kind, or of several by the names that starts give."""


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
    envs: EnvPools,
    policy: AnyPolicy,
    starts: Sequence[Start],
    sampling: Sampling | None = None,
) -> list[Episode]:
    """One finished episode for each start, in order.

    Every round shows the policy all live episodes at once. Without stop strings in ``sampling``,
    those of the completion format are used. A failing reset, policy or step makes a failed episode;
    user errors are raised.
    """
    runner = EpisodeRunner(envs, policy, sampling)
    episodes = runner.add(starts)
    while runner.live:
        runner.step()
    return [live.episode() for live in episodes]


class EpisodeRunner:
    """Live episodes: new ones join at any time, and each call of ``step`` moves some of them.

    live: the episodes that have not ended, oldest first. steps: how many steps were taken in all.
    """

    def __init__(self, envs: EnvPools, policy: AnyPolicy, sampling: Sampling | None = None) -> None:
        """envs: not used by anyone else meanwhile. Raises ``BadOption`` for a bad policy."""
        if isinstance(policy, type) or not isinstance(policy, AnyPolicy):
            raise BadOption(
                f"a policy must be an object with generate(batch, sampling); got {policy!r:.80}. "
                "Fix: use one of srl_agents.policies"
            )
        self._pools = {"": envs} if isinstance(envs, EnvPool) else dict(envs)
        self._oracle = policy if isinstance(policy, PrivilegedPolicy) else None
        self._policy, self._sampling = cast(Policy, policy), sampling or Sampling()
        self._free: dict[str, list[ReasoningEnv]] = {name: [] for name in self._pools}
        self._used = Counter[str]()
        self.live: list[LiveEpisode] = []
        self.steps = 0

    def add(self, starts: Sequence[Start]) -> list[LiveEpisode]:
        """Starts an episode for each start, in order; one whose reset fails has ended."""
        envs = [self._take(start.env) for start in starts]
        options = [self._options(s, env) for s, env in zip(starts, envs, strict=True)]
        results = reset_many(envs, [s.seed for s in starts], options)
        added = [
            LiveEpisode(env, start, env.fail(result)[4], ended=True)
            if isinstance(result, Failure)
            else LiveEpisode(env, start, result[1])
            for env, start, result in zip(envs, starts, results, strict=True)
        ]
        self.live += [live for live in added if not live.ended]
        return added

    def step(self, rows: int | None = None) -> list[LiveEpisode]:
        """Takes one step in the oldest ``rows`` live episodes (None: all); returns the ended ones.

        A prompt that contains the policy's own text is sent a second time if it is refused.
        """
        moving = self.live[:rows]
        made = self._generate(moving)
        refused = [i for i, one in enumerate(made) if isinstance(one, PromptRefused)]
        again = [i for i in refused if moving[i].wrote]
        for i, one in zip(again, self._generate([moving[i] for i in again]), strict=True):
            made[i] = one
        self.steps += _step(moving, made)
        self.live = [live for live in self.live if not live.ended]
        return [live for live in moving if live.ended]

    def release(self, ended: LiveEpisode) -> None:
        """Frees the environment of an ended episode for another."""
        self._free[ended.start.env].append(ended.env)

    def _take(self, name: str) -> ReasoningEnv:
        """A free environment, or a new one of that pool."""
        if self._free[name]:
            return self._free[name].pop(0)
        self._used[name] += 1
        return self._pools[name].take(self._used[name])[-1]

    def _generate(self, live: Sequence[LiveEpisode]) -> list[Generation | Failure]:
        """One generation for each live episode, in order; one batch for each set of stop strings.

        Steps that were written before are taken from there.
        """
        made: dict[int, Generation | Failure] = {
            i: one.start.written[len(one.steps)] for i, one in enumerate(live) if one.replaying
        }
        batches: dict[Sampling, list[int]] = {}
        known: dict[tuple[int, Granularity, bool], Sampling] = {}
        for i, one in enumerate(live):
            if i not in made:
                kind = (id(one.env.format), one.env.granularity, one.env.native_tools)
                how = known[kind] = known.get(kind) or self._sampling_in(one.env)
                batches.setdefault(how, []).append(i)
        for how, members in batches.items():
            made.update(zip(members, self._asked([live[i] for i in members], how), strict=True))
        return [made[i] for i in range(len(live))]

    def _options(self, start: Start, env: ReasoningEnv) -> Mapping[str, Any]:
        """The options of a start, with native tools if the policy takes them."""
        native = getattr(self._policy, "native_tools", False) and env.native_format is not None
        return {"native_tools": True, **start.options} if native else start.options

    def _sampling_in(self, env: ReasoningEnv) -> Sampling:
        if self._oracle is not None:
            return self._sampling
        return self._sampling.for_format(env.format, env.granularity, env.native_tools)

    def _asked(self, live: Sequence[LiveEpisode], how: Sampling) -> Sequence[Generation | Failure]:
        if self._oracle is not None:
            return _counted(self._oracle.act([one.env for one in live]), len(live))
        prompts: list[Messages] = [one.info["messages"] for one in live]
        turns = tuple([sampled_turns(o.env, o.env.continuation, o.steps) for o in live])
        sampling = replace(how, seeds=_seeds(live), turns=turns if any(turns) else ())
        return _counted(self._policy.generate(prompts, sampling), len(live))


def failed_episode(env: ReasoningEnv, start: Start, failure: Failure) -> Episode:
    """The episode of a start that never ran because of a failure; ``env`` loses its own episode."""
    result = env.reset_failed(failure, seed=start.seed, options=start.options)
    return LiveEpisode(env, start, result[4], ended=True).episode()


@dataclass(slots=True)
class LiveEpisode:
    """An episode in progress. ended: whether it is finished, or failed."""

    env: ReasoningEnv
    start: Start
    info: dict[str, Any]
    steps: list[Step] = field(default_factory=list)
    ended: bool = False

    @property
    def replaying(self) -> bool:
        """Whether the next step was written before, so that the policy is not asked."""
        return len(self.steps) < len(self.start.written)

    @property
    def wrote(self) -> bool:
        """Whether the prompt contains text of the policy."""
        return bool(self.steps) and self.env.continuation == "policy"

    def add(self, generation: Generation, result: StepResult, expert: str | None) -> None:
        """Records one step; expert: the expert's action there."""
        _, reward, terminated, truncated, info = result
        text = utf8_safe(generation.text)  # as the environment took it
        self.steps.append(
            Step(
                messages=tuple(self.info["messages"]),
                generation=generation
                if text == generation.text
                else replace(generation, text=text),
                action=info["action"],
                index=self.info["step"],
                reward=reward,
                reward_parts=info["reward_parts"],
                format_ok=info["format_ok"],
                legal=info["legal"],
                failure=info.get("failure"),
                expert_action=expert,
                observation=self.env.history[-1].observation if self.env.history else None,
            )
        )
        self.info, self.ended = info, terminated or truncated

    def fail(self, failure: Failure) -> None:
        """Ends the episode without another step.

        If a prompt is refused only once the policy's own text is in it, the policy is responsible
        and the episode is wrong.
        """
        if isinstance(failure, PromptRefused) and self.wrote:
            verdict = fault_verdict(f"{type(failure).__name__}: {failure}")
            self.info = {**self.info, "verdict": verdict.to_info()}
        else:
            self.info = self.env.fail(failure)[4]
        self.ended = True

    def episode(self) -> Episode:
        """The finished episode."""
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
            env=self.start.env,
        )


def _seeds(live: Sequence[LiveEpisode]) -> tuple[int, ...]:
    """One for each row, by episode and step alone; () unless every episode has a seed."""
    seeds = [one.start.sampling_seed for one in live]
    if None in seeds:
        return ()
    return tuple(
        derive_seed("sampling", cast(int, seed), len(one.steps))
        for seed, one in zip(seeds, live, strict=True)
    )


def _step(live: Sequence[LiveEpisode], generations: Sequence[Generation | Failure]) -> int:
    """Takes each generation's step; returns how many were taken."""
    moving: list[tuple[LiveEpisode, Generation]] = []
    for one, made in zip(live, generations, strict=True):
        if isinstance(made, Failure):
            one.fail(made)
        else:
            moving.append((one, made))
    experts = [one.env.expert_action for one, _ in moving]
    results = step_many([one.env for one, _ in moving], [made.text for _, made in moving])
    for (one, made), result, expert in zip(moving, results, experts, strict=True):
        one.add(made, result, expert)
    return len(moving)


def _counted(generations: Any, expected: int) -> Sequence[Generation | Failure]:
    """The generations, checked: one for each of ``expected`` prompts."""
    given = len(generations) if hasattr(generations, "__len__") else type(generations).__name__
    if given != expected:
        raise BadOption(
            f"a policy must return one generation for each prompt; got {given} for {expected}"
        )
    for made in generations:
        text = made.text if isinstance(made, Generation) else ""
        if not isinstance(made, Generation | Failure) or not isinstance(text, str):
            raise BadOption(
                f"a policy must return Generation objects; got a {type(made).__name__} "
                f"{made!r:.60}. Fix: srl_env.Generation(text)"
            )
    return cast(Sequence[Generation | Failure], generations)

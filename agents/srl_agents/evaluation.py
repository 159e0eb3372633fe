"""Evaluation: a policy and an environment in, scores with intervals out.

    result = evaluate(policy, lambda: srl_env.make("srl/ModularChain-v0", split="test"))

Every problem is rolled out several times at a temperature, and, where asked for, once greedily
and once along the expert's solution. Problems, trajectories and random numbers follow from the
settings alone, not from the policy's past, so that two policies meet the same problems and an
evaluation that was stopped ends as it would have. Whether the problems are unseen is checked by
``srl_agents.seen``; what the episodes are worth is in ``srl_agents.scoring``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any, Literal, cast

import srl_env
from srl_agents.episodes import EpisodeFile
from srl_agents.policies.request_seeds import RequestSeeds
from srl_agents.scoring import (
    FORCED,
    SAMPLED,
    EvalResult,
    Kind,
    count_failures,
    count_policy_faults,
    score_episodes,
)
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData, BadOption, UnknownName
from srl_env.policy import Policy, PrivilegedPolicy, Sampling
from srl_env.problem import ProblemSource
from srl_env.rollout import EnvPool, Episode, Progress, Start, rollout
from srl_env.seeding import derive_seed, stream

AnyPolicy = Policy | PrivilegedPolicy
OnProgress = Callable[[int, int], None]
"""Called with the episodes that are finished and the episodes in all."""


@dataclass(frozen=True, slots=True)
class EvalSettings:
    """How to evaluate.

    problems: how many, drawn without replacement; all of them where the source has fewer.
    rollouts: of each problem, at ``temperature``. ks: of pass@k; empty for 1, 2, 4 … rollouts.
    greedy: also one rollout of each at temperature 0. similarity: also each next step after the
    expert's steps before it, compared with the expert's, greedily and as often sampled.
    max_tokens: of one completion. max_steps, granularity: None for the environment's own.
    seed: chooses problems and random numbers. at_once: episodes that run in step, and are saved
    together. parallel: how many times that runs at the same time, in threads, so that a policy
    that waits (a server) is not kept waiting by its slowest answer; its requests have the same
    seeds as one at a time. Another policy's own random numbers then do not repeat.
    """

    problems: int = 100
    rollouts: int = 8
    ks: tuple[int, ...] = ()
    temperature: float = 1.0
    greedy: bool = True
    similarity: bool = False
    max_tokens: int = 256
    max_steps: int | None = None
    granularity: Literal["step", "solution"] | None = None
    seed: int = 0
    at_once: int = 512
    parallel: int = 1

    def __post_init__(self) -> None:
        for name in ("problems", "rollouts", "max_tokens", "at_once", "parallel"):
            if getattr(self, name) < 1:
                raise BadOption(f"{name} is at least 1; got {getattr(self, name)!r}")
        if not 0 < self.temperature < math.inf:
            raise BadOption(
                f"temperature is above 0 and finite; got {self.temperature!r}. Greedy scores are "
                "made besides"
            )
        if self.granularity not in (None, "step", "solution"):
            raise BadOption(f"granularity is 'step' or 'solution'; got {self.granularity!r}")
        if not self.ks:
            powers = (1 << i for i in range(self.rollouts.bit_length()))
            object.__setattr__(self, "ks", tuple(powers))
        if min(self.ks) < 1 or max(self.ks) > self.rollouts:
            raise BadOption(
                f"pass@k needs 1 ≤ k ≤ rollouts; got k of {self.ks} with {self.rollouts} rollouts"
            )
        object.__setattr__(self, "ks", tuple(sorted({1, *self.ks})))


def evaluate(
    policy: AnyPolicy,
    make_env: Callable[[], ReasoningEnv],
    settings: EvalSettings | None = None,
    *,
    name: str = "policy",
    episodes: EpisodeFile | None = None,
    on_progress: OnProgress | None = None,
) -> EvalResult:
    """The policy's scores on the environment's problems.

    make_env: a new environment, equal to the others, of the split that is to be evaluated.
    name: stands for the policy in the result. episodes: keeps every episode as it is made; what
    is in it already is not run again. A policy with a torch generator gets it back as it was;
    the ``usage`` (a dataclass) of one that counts its requests is part of the result.
    """
    settings = settings or EvalSettings()
    _check_parallel(policy, settings)
    began, used = time.perf_counter(), _usage(policy)
    pools = [EnvPool(make_env) for _ in range(settings.parallel)]
    (env,) = pools[0].take(1)
    plan = list(plan_episodes(choose_problems(env.problems, settings), settings))
    tally = _Tally(sum(len(part.starts) for part in plan), on_progress)
    found: dict[Kind, list[Sequence[Episode]]] = {}
    try:
        for part in plan:
            if episodes and (saved := episodes.get(part.kind, part.number)) is not None:
                check_saved(part, saved, env.problems, episodes.path)
        runs = _run_all(plan, policy, pools, settings, episodes, tally)
        for part, made in zip(plan, runs, strict=True):
            found.setdefault(part.kind, []).extend(by_problem(made, part))
    finally:
        for pool in pools:
            pool.close()
    everything = [e for groups in found.values() for group in groups for e in group]
    return EvalResult(
        policy=name,
        env=env.spec.id if env.spec else type(env).__name__,
        source=env.problems.name,
        problem_ids=tuple(e[0].problem_id for e in found["sampled"]),
        scores=score_episodes(found, settings.ks),
        episodes=len(everything),
        failures=count_failures(everything),
        policy_faults=count_policy_faults(everything),
        settings=asdict(settings) | {"ks": list(settings.ks)},
        seconds=time.perf_counter() - began,
        notes=tuple(getattr(policy, "notes", ())),
        usage={name: count - used[name] for name, count in _usage(policy).items()},
    )


def split_maker(
    env_id: str, arguments: Mapping[str, Any], split: str | None
) -> Callable[[], ReasoningEnv]:
    """Makes environments with that id and split, for ``evaluate``.

    split: None, or one that the environment does not take at all, leaves it at its own problems.
    Raises UnknownName for the id or an argument, BadOption for a value that cannot work.
    """
    taken = taken_split(env_id, arguments, split)
    whole = {**arguments, **({"split": taken} if taken else {})}
    return lambda: cast(ReasoningEnv, srl_env.make(env_id, **whole).unwrapped)


def taken_split(env_id: str, arguments: Mapping[str, Any], split: str | None) -> str | None:
    """The split, or None where the environment takes none at all; raises as ``split_maker``."""
    try:
        srl_env.make(env_id, **{**arguments, **({"split": split} if split else {})}).close()
    except UnknownName as error:
        if not split or error.name != "split":
            raise
        srl_env.make(env_id, **arguments).close()
        return None
    return split


def choose_problems(source: ProblemSource, settings: EvalSettings) -> list[int]:
    """The indices of the problems that are evaluated, in ascending order, without repeats."""
    size = len(source)
    if settings.problems >= size:
        return list(range(size))
    rng, chosen = stream("evaluation", source.name, settings.seed), set[int]()
    while len(chosen) < settings.problems:  # sources may be too large for a permutation
        chosen.add(int(rng.integers(size)))
    return sorted(chosen)


@dataclass(frozen=True, slots=True)
class Part:
    """Episodes that are run together: ``copies`` of each of some problems."""

    kind: Kind
    number: int
    copies: int
    starts: list[Start]


def plan_episodes(indices: Sequence[int], settings: EvalSettings) -> Iterator[Part]:
    """Everything there is to run, in parts of about ``at_once`` episodes."""
    kinds: list[tuple[Kind, int]] = [("sampled", settings.rollouts)]
    kinds += [("greedy", 1)] if settings.greedy else []
    if settings.similarity:
        kinds += [("forced", 1), ("forced_sampled", settings.rollouts)]
    for kind, copies in kinds:
        size = max(1, settings.at_once // copies)
        for number, begin in enumerate(range(0, len(indices), size)):
            starts = [
                Start(_options(kind, index, settings), _episode_seed(settings, index), place)
                for place, index in enumerate(indices[begin : begin + size])
                for _ in range(copies)
            ]
            yield Part(kind, number, copies, starts)


def _options(kind: Kind, index: int, settings: EvalSettings) -> dict[str, Any]:
    """What an episode's ``reset`` is given."""
    if kind in FORCED:
        return {
            "problem": index,
            "reward_mode": "srl",
            "continuation": "expert",
            "granularity": "step",
            "max_steps": _NO_LIMIT,
        }
    options: dict[str, Any] = {
        "problem": index,
        "reward_mode": "rlvr",
        "continuation": "policy",
        "granularity": settings.granularity,
        "max_steps": settings.max_steps,
    }
    return {name: value for name, value in options.items() if value is not None}


def _episode_seed(settings: EvalSettings, index: int) -> int:
    return derive_seed("evaluation episode", settings.seed, index)


def _run_all(
    plan: Sequence[Part],
    policy: AnyPolicy,
    pools: Sequence[EnvPool],
    settings: EvalSettings,
    episodes: EpisodeFile | None,
    tally: _Tally,
) -> Iterator[list[Episode]]:
    """The episodes of each part, in order; as many parts at the same time as there are pools."""
    if len(pools) == 1:
        for part in plan:
            yield _run(part, policy, pools[0], settings, episodes, tally)
        return
    free = SimpleQueue[EnvPool]()
    for pool in pools:
        free.put(pool)

    def run(part: Part) -> list[Episode]:
        pool = free.get()
        try:
            return _run(part, policy, pool, settings, episodes, tally)
        finally:
            free.put(pool)

    threads = ThreadPoolExecutor(len(pools), thread_name_prefix="srl-env-eval")
    try:
        yield from threads.map(run, plan)
    finally:
        threads.shutdown(cancel_futures=True)


def _run(
    part: Part,
    policy: AnyPolicy,
    pool: EnvPool,
    settings: EvalSettings,
    episodes: EpisodeFile | None,
    tally: _Tally,
) -> list[Episode]:
    """The part's episodes, from the file where it has them."""
    made = episodes.get(part.kind, part.number) if episodes else None
    if made is None:
        temperature = settings.temperature if part.kind in SAMPLED else 0.0
        sampling = Sampling(temperature, settings.max_tokens)
        running = partial(tally.running, (part.kind, part.number))
        with _seeded(policy, _sampling_seed(part, settings), settings.parallel > 1):
            made = rollout(pool, policy, part.starts, sampling, on_step=running)
        if episodes:
            episodes.add(part.kind, part.number, made)
    tally.add((part.kind, part.number), len(made))
    return made


def _sampling_seed(part: Part, settings: EvalSettings) -> int:
    return derive_seed("evaluation sampling", settings.seed, part.kind, part.number)


def _check_parallel(policy: AnyPolicy, settings: EvalSettings) -> None:
    if settings.parallel > 1 and not getattr(policy, "concurrent", False):
        raise BadOption(
            f"parallel={settings.parallel} needs a policy that several threads may ask at once,"
            f" as one on a server (its class says concurrent = True); {type(policy).__name__} is"
            " none, and takes many episodes in one batch: raise at_once instead"
        )


def by_problem(made: Sequence[Episode], part: Part) -> Iterator[Sequence[Episode]]:
    """A part's episodes, those of each problem together, in order."""
    for begin in range(0, len(made), part.copies):
        yield made[begin : begin + part.copies]


def check_saved(
    part: Part, saved: Sequence[Episode], source: ProblemSource, path: Path
) -> Sequence[Episode]:
    """The episodes saved of a part, where they are of its problems.

    Raises BadData where they are not, as when a file of problems was changed since.
    """
    if len(saved) != len(part.starts):
        raise BadData(
            f"{path}: {len(saved)} episodes in part {part.number} of the {part.kind} ones, where"
            f" its settings make {len(part.starts)}; the file belongs to another evaluation"
        )
    for start, episode in zip(part.starts, saved, strict=True):
        problem = source[cast(int, start.options["problem"])]
        if episode.problem_id != problem.id:
            raise BadData(
                f"{path}: an episode of problem {episode.problem_id!r} where {source.name} now has"
                f" {problem.id!r}; its problems have changed since. Evaluate into another folder"
            )
    return saved


class _Tally:
    """Counts finished episodes and tells of them; from any thread."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self.total, self.tell = total, on_progress or (lambda done, total: None)
        self._done: dict[tuple[str, int], int] = {}
        self._lock = Lock()
        self.tell(0, total)

    def running(self, part: tuple[str, int], progress: Progress) -> None:
        """Tells of a part that is being run."""
        self.add(part, progress.finished)

    def add(self, part: tuple[str, int], finished: int) -> None:
        """Tells of how many of a part's episodes are finished."""
        with self._lock:
            self._done[part] = finished
            self.tell(sum(self._done.values()), self.total)


def _usage(policy: AnyPolicy) -> dict[str, float]:
    """What the policy has counted of its requests; {} for one that counts none."""
    usage = cast(Any, getattr(policy, "usage", None))
    return {} if usage is None else asdict(usage)


@contextmanager
def _seeded(policy: AnyPolicy, seed: int, parallel: bool) -> Iterator[None]:
    """The policy's generator, where it has one, seeded inside and untouched afterwards.

    parallel: whether other threads draw from it as well. One of seeds for requests is then seeded
    for this thread alone, and any other left as it is.
    """
    generator = cast(Any, getattr(policy, "generator", None))
    if isinstance(generator, RequestSeeds):
        with generator.apart(seed):
            yield
        return
    if generator is None or parallel:
        yield
        return
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)


_NO_LIMIT = 1 << 30

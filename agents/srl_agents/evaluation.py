"""Evaluation: a policy and an environment in, scores with intervals out.

    result = evaluate(policy, lambda: srl_env.make("srl/ModularChain-v0", split="test"))

Every problem is rolled out several times at a temperature, and, where asked for, once greedily
and once along the expert's solution. Problems, trajectories and random numbers follow from the
settings alone, not from the policy's past, so that two policies meet the same problems and an
evaluation that was stopped ends as it would have. Whether the problems are unseen is checked by
``srl_agents.seen``; what the episodes are worth is in ``srl_agents.scoring``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import srl_env
from srl_agents.episodes import EpisodeFile
from srl_agents.scoring import EvalResult, Kind, count_failures, score_episodes
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UnknownName
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
    greedy: also one rollout of each at temperature 0. similarity: also, greedily, each next step
    after the expert's steps before it, compared with the expert's.
    max_tokens: of one completion. max_steps, granularity: None for the environment's own.
    seed: chooses problems and random numbers. at_once: episodes that run side by side.
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

    def __post_init__(self) -> None:
        for name in ("problems", "rollouts", "max_tokens", "at_once"):
            if getattr(self, name) < 1:
                raise BadOption(f"{name} is at least 1; got {getattr(self, name)!r}")
        if self.temperature <= 0:
            raise BadOption(
                f"temperature is above 0; got {self.temperature!r}. Greedy scores are made besides"
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
    began, used = time.perf_counter(), _usage(policy)
    pool = EnvPool(make_env)
    (env,) = pool.take(1)
    indices = choose_problems(env.problems, settings)
    plan = list(_plan(indices, settings))
    tally = _Tally(sum(len(part.starts) for part in plan), on_progress)
    found: dict[Kind, list[Sequence[Episode]]] = {}
    try:
        for part in plan:
            made = _run(part, policy, pool, settings, episodes, tally)
            found.setdefault(part.kind, []).extend(_by_problem(made, part))
    finally:
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
        settings=asdict(settings) | {"ks": list(settings.ks)},
        seconds=time.perf_counter() - began,
        usage={name: count - used[name] for name, count in _usage(policy).items()},
    )


def split_maker(
    env_id: str, arguments: Mapping[str, Any], split: str | None
) -> Callable[[], ReasoningEnv]:
    """Makes environments with that id and split, for ``evaluate``.

    split: None, or one that the environment does not take at all, leaves it at its own problems.
    Raises UnknownName for the id or an argument, BadOption for a value that cannot work.
    """
    whole = {**arguments, **({"split": split} if split else {})}
    try:
        srl_env.make(env_id, **whole).close()
    except UnknownName as error:
        if not split or error.name != "split":
            raise
        whole = dict(arguments)
    return lambda: cast(ReasoningEnv, srl_env.make(env_id, **whole).unwrapped)


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
class _Part:
    """Episodes that are run together: ``copies`` of each of some problems."""

    kind: Kind
    number: int
    copies: int
    starts: list[Start]


def _plan(indices: Sequence[int], settings: EvalSettings) -> Iterator[_Part]:
    """Everything there is to run, in parts of about ``at_once`` episodes."""
    kinds: list[tuple[Kind, int]] = [("sampled", settings.rollouts)]
    kinds += [("greedy", 1)] if settings.greedy else []
    kinds += [("forced", 1)] if settings.similarity else []
    for kind, copies in kinds:
        size = max(1, settings.at_once // copies)
        for number, begin in enumerate(range(0, len(indices), size)):
            starts = [
                Start(_options(kind, index, settings), _episode_seed(settings, index), place)
                for place, index in enumerate(indices[begin : begin + size])
                for _ in range(copies)
            ]
            yield _Part(kind, number, copies, starts)


def _options(kind: Kind, index: int, settings: EvalSettings) -> dict[str, Any]:
    """What an episode's ``reset`` is given."""
    if kind == "forced":
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


def _run(
    part: _Part,
    policy: AnyPolicy,
    pool: EnvPool,
    settings: EvalSettings,
    episodes: EpisodeFile | None,
    tally: _Tally,
) -> list[Episode]:
    """The part's episodes, from the file where it has them."""
    made = episodes.get(part.kind, part.number) if episodes else None
    if made is None:
        temperature = settings.temperature if part.kind == "sampled" else 0.0
        seed = derive_seed("evaluation sampling", settings.seed, part.kind, part.number)
        with _seeded(policy, seed):
            sampling = Sampling(temperature, settings.max_tokens)
            made = rollout(pool, policy, part.starts, sampling, on_step=tally.running)
        if episodes:
            episodes.add(part.kind, part.number, made)
    tally.add(len(made))
    return made


def _by_problem(made: Sequence[Episode], part: _Part) -> Iterator[Sequence[Episode]]:
    for begin in range(0, len(made), part.copies):
        yield made[begin : begin + part.copies]


class _Tally:
    """Counts finished episodes and tells of them."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self.total, self.done, self.tell = total, 0, on_progress or (lambda done, total: None)
        self.tell(0, total)

    def running(self, progress: Progress) -> None:
        """Tells of a part that is being run."""
        self.tell(self.done + progress.finished, self.total)

    def add(self, count: int) -> None:
        """Counts a part that is done."""
        self.done += count
        self.tell(self.done, self.total)


def _usage(policy: AnyPolicy) -> dict[str, float]:
    """What the policy has counted of its requests; {} for one that counts none."""
    usage = cast(Any, getattr(policy, "usage", None))
    return {} if usage is None else asdict(usage)


@contextmanager
def _seeded(policy: AnyPolicy, seed: int) -> Iterator[None]:
    """The policy's generator, where it has one, seeded inside and untouched afterwards."""
    generator = cast(Any, getattr(policy, "generator", None))
    if generator is None:
        yield
        return
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)


_NO_LIMIT = 1 << 30

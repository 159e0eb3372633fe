"""Evaluation: a policy and an environment in, scores with intervals out.

    result = evaluate(policy, lambda: srl_env.make("srl/ModularChain-v0", split="test"))

Every problem is rolled out several times at a temperature, and, where asked for, once greedily
and once along the expert's solution. Problems, trajectories and random numbers follow from the
settings alone, not from the policy's past or speed. So two policies meet the same problems, and
an evaluation that was stopped ends as it would have. Whether the problems are unseen is checked
by ``srl_agents.runs.history``; what the episodes are worth is in ``srl_agents.evaluation.scoring``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import srl_env
from srl_agents.evaluation.episodes import EpisodeFile, Key
from srl_agents.evaluation.pace import Pace
from srl_agents.evaluation.scoring import (
    FORCED,
    SAMPLED,
    EvalResult,
    Kind,
    count_failures,
    count_policy_faults,
    score_episodes,
)
from srl_agents.runs.evaluation import EvalSettings
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData, BadOption, SrlEnvError, UnknownName
from srl_env.policy import Sampling
from srl_env.problem import ProblemSource
from srl_env.rollout import EnvPool, Episode, EpisodeRunner, LiveEpisode, Start
from srl_env.seeding import derive_seed, stream

if TYPE_CHECKING:
    from srl_env.rollout import AnyPolicy


OnProgress = Callable[[int, int], None]
"""Called with the episodes that are finished and the episodes in all."""


def evaluate(
    policy: AnyPolicy,
    make_env: Callable[[], ReasoningEnv],
    settings: EvalSettings | None = None,
    *,
    name: str = "policy",
    episodes: EpisodeFile | None = None,
    on_progress: OnProgress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> EvalResult:
    """The policy's scores on the environment's problems.

    make_env: a new environment, equal to the others, of the split that is to be evaluated.
    name: stands for the policy in the result. episodes: keeps every episode once it is finished,
    and what unfinished ones have written; nothing in it is run again. A policy with a torch
    generator gets it back as it was; the ``usage`` (a dataclass) of one that counts its requests
    is part of the result. clock: seconds, by which the policy's pace is measured.
    """
    settings = (settings or EvalSettings()).filled(max_tokens=_MAX_TOKENS)
    _check_parallel(policy, settings)
    began, used = time.perf_counter(), _usage(policy)
    pools = [EnvPool(make_env) for _ in range(settings.parallel)]
    (env,) = pools[0].take(1)
    plan = plan_episodes(choose_problems(env.problems, settings), settings)
    book = _Book(plan, episodes, on_progress)
    try:
        book.check(env.problems)
        with _seeded(policy, settings):
            for kind in dict.fromkeys(planned.kind for planned in plan):
                _run_kind(kind, book, policy, pools, settings, clock)
    finally:
        for pool in pools:
            pool.close()
    if episodes:
        episodes.finish([planned.key for planned in plan])
    found = group_by_problem([(planned, book.episodes[planned.key]) for planned in plan])
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
        settings=settings.model_dump(mode="json"),
        seconds=time.perf_counter() - began,
        notes=tuple(getattr(policy, "notes", ())),
        usage={name: count - used[name] for name, count in _usage(policy).items()},
    )


def split_maker(
    env_id: str, arguments: Mapping[str, Any], split: str | None
) -> Callable[[], ReasoningEnv]:
    """Makes environments with that id and split, for ``evaluate``.

    split: None, or one that the environment does not take at all, leaves it at its own problems.
    Raises UnknownName for the id or an argument, BadOption for a value that cannot work and for a
    split without problems, which names those that have some.
    """
    taken = taken_split(env_id, arguments, split)
    whole = {**arguments, **({"split": taken} if taken else {})}
    return lambda: cast(ReasoningEnv, srl_env.make(env_id, **whole).unwrapped)


def taken_split(env_id: str, arguments: Mapping[str, Any], split: str | None) -> str | None:
    """The split, or None where the environment takes none at all; raises as ``split_maker``."""
    try:
        size = _size(env_id, {**arguments, **({"split": split} if split else {})})
    except UnknownName as error:
        if not split or error.name != "split":
            raise
        size, split = _size(env_id, arguments), None
    if not size:
        raise BadOption(_no_problems(env_id, arguments, split))
    return split


def _size(env_id: str, arguments: Mapping[str, Any]) -> int:
    """How many problems an environment with these arguments has."""
    with closing(cast(ReasoningEnv, srl_env.make(env_id, **arguments).unwrapped)) as env:
        return len(env.problems)


def _no_problems(env_id: str, arguments: Mapping[str, Any], split: str | None) -> str:
    """What to say of a split without problems: which ones have some."""
    if split is None:
        return f"{env_id} must have problems; got none. Fix: other data or other arguments"
    sizes: dict[str, int] = {}
    for name in ("train", "dev", "test", "all"):
        with suppress(SrlEnvError):  # one that it does not take, or whose data are not here
            sizes[name] = _size(env_id, {**arguments, "split": name})
    filled = {name: size for name, size in sizes.items() if size}
    said = f"split must have problems; got {split!r} of {env_id}, which has none"
    if not filled:
        return f"{said}, nor has any other split. Fix: other data or other arguments"
    having = ", ".join(f"{name!r} ({size})" for name, size in filled.items())
    return f"{said}. Fix: a split with problems: {having}"


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
class Planned:
    """One episode of an evaluation: its place among those of its kind, and where it begins."""

    kind: Kind
    place: int
    start: Start

    @property
    def key(self) -> Key:
        """What it is saved under."""
        return self.kind, self.place


def plan_episodes(indices: Sequence[int], settings: EvalSettings) -> list[Planned]:
    """Every episode there is to run, those of each problem together."""
    kinds: list[tuple[Kind, int]] = [("sampled", settings.rollouts)]
    kinds += [("greedy", 1)] if settings.greedy else []
    if settings.similarity:
        kinds += [("forced", 1), ("forced_sampled", settings.rollouts)]
    return [
        Planned(kind, group * copies + copy, _start(kind, index, group, copy, settings))
        for kind, copies in kinds
        for group, index in enumerate(indices)
        for copy in range(copies)
    ]


def _start(kind: Kind, index: int, group: int, copy: int, settings: EvalSettings) -> Start:
    options = {**_options(kind, index, settings), "copy": copy}
    seed = derive_seed("evaluation episode", settings.seed, index)
    sampling = derive_seed("evaluation sampling", settings.seed, kind, index, copy)
    return Start(options, seed, group, sampling)


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


def _run_kind(
    kind: Kind,
    book: _Book,
    policy: AnyPolicy,
    pools: Sequence[EnvPool],
    settings: EvalSettings,
    clock: Callable[[], float],
) -> None:
    """Runs the episodes of a kind that are missing, in as many threads as there are pools."""
    temperature = settings.temperature if kind in SAMPLED else 0.0
    sampling = Sampling(temperature, settings.max_tokens or _MAX_TOKENS)
    waiting = SimpleQueue[Planned]()
    for planned in book.missing(kind):
        waiting.put(planned)

    def run(pool: EnvPool) -> None:
        try:
            _run(
                waiting, EpisodeRunner(pool, policy, sampling), book, Pace(settings.at_once), clock
            )
        except BaseException:
            _drain(waiting)  # the others end with what they have begun
            raise

    if len(pools) == 1:
        run(pools[0])
        return
    with ThreadPoolExecutor(len(pools), thread_name_prefix="srl-env-eval") as threads:
        for _ in threads.map(run, pools):
            pass


def _run(
    waiting: SimpleQueue[Planned],
    rolling: EpisodeRunner,
    book: _Book,
    pace: Pace,
    clock: Callable[[], float],
) -> None:
    """Runs episodes as long as some wait, each step with as many as the pace says."""
    running: dict[int, tuple[Planned, LiveEpisode]] = {}
    saved = clock()
    try:
        while True:
            new = _drain(waiting, pace.rows - len(rolling.live))
            begun = rolling.add([book.start(planned) for planned in new])
            running.update({id(run): (p, run) for p, run in zip(new, begun, strict=True)})
            if not running:
                return
            asked = sum(not run.replaying for run in rolling.live[: pace.rows])
            before = clock()
            rolling.step(pace.rows)
            now = clock()
            pace.saw(asked, now - before)
            ended = [running.pop(id(run)) for _, run in list(running.values()) if run.ended]
            book.add({planned.key: run.episode() for planned, run in ended})
            for _, run in ended:
                rolling.release(run)
            if now - saved >= _SAVE_S:
                book.keep(running.values())
                saved = now
    finally:
        book.keep(running.values())


_SAVE_S = 10.0
"""What unfinished episodes have written is saved after the round in which this has passed."""


def _drain(waiting: SimpleQueue[Planned], most: int | None = None) -> list[Planned]:
    """Takes at most so many of those that wait; all, where nothing is said."""
    taken: list[Planned] = []
    while most is None or len(taken) < most:
        try:
            taken.append(waiting.get_nowait())
        except Empty:
            break
    return taken


def _check_parallel(policy: AnyPolicy, settings: EvalSettings) -> None:
    if settings.parallel > 1 and not getattr(policy, "concurrent", False):
        raise BadOption(
            f"parallel={settings.parallel} needs a policy that several threads may ask at once,"
            f" as one on a server (its class says concurrent = True); {type(policy).__name__} is"
            " none, and takes many episodes in one batch: raise at_once instead"
        )


Run = tuple[Planned, Episode]


def group_by_problem(runs: Sequence[Run]) -> dict[Kind, list[list[Episode]]]:
    """{kind: for each problem, its episodes}, in order."""
    found: dict[Kind, dict[int, list[Episode]]] = {}
    for planned, episode in runs:
        groups = found.setdefault(planned.kind, {})
        groups.setdefault(planned.start.group, []).append(episode)
    return {kind: list(groups.values()) for kind, groups in found.items()}


def check_saved(planned: Planned, saved: Episode, source: ProblemSource, path: Path) -> None:
    """Raises BadData where a saved episode is not of the problem that is planned in its place.

    As when a file of problems was changed since.
    """
    problem = source[cast(int, planned.start.options["problem"])]
    if saved.problem_id != problem.id:
        raise BadData(
            f"{path}: an episode of problem {saved.problem_id!r} where {source.name} now has"
            f" {problem.id!r}; its problems have changed since. Evaluate into another folder"
        )


class _Book:
    """The plan, what of it is finished, and where both are saved; for any thread."""

    def __init__(
        self, plan: Sequence[Planned], file: EpisodeFile | None, on_progress: OnProgress | None
    ) -> None:
        self._plan, self._file = plan, file
        self._tell = on_progress or (lambda done, total: None)
        self._lock = Lock()
        self.episodes: dict[Key, Episode] = dict(file.episodes) if file else {}

    def check(self, source: ProblemSource) -> None:
        """Raises BadData where what is saved is not of this plan; tells how much is finished."""
        known = {planned.key: planned for planned in self._plan}
        for key, episode in self.episodes.items():
            assert self._file is not None, "they come from it"
            if key not in known:
                raise BadData(
                    f"{self._file.path}: {key[0]} episode {key[1]} is not part of an evaluation"
                    " with these settings; the file belongs to another one"
                )
            check_saved(known[key], episode, source, self._file.path)
        self._tell(len(self.episodes), len(self._plan))

    def missing(self, kind: Kind) -> list[Planned]:
        """Those of a kind that are not finished, in order."""
        return [p for p in self._plan if p.kind == kind and p.key not in self.episodes]

    def start(self, planned: Planned) -> Start:
        """Where the episode begins, with what was written in it before."""
        if self._file is None:
            return planned.start
        return replace(planned.start, written=self._file.written(planned.key))

    def add(self, episodes: Mapping[Key, Episode]) -> None:
        """Notes and saves finished episodes."""
        if not episodes:
            return
        if self._file:
            self._file.add(episodes)
        with self._lock:
            self.episodes.update(episodes)
            self._tell(len(self.episodes), len(self._plan))

    def keep(self, running: Iterable[tuple[Planned, LiveEpisode]]) -> None:
        """Saves what has been written in episodes that are not finished."""
        written = {p.key: [step.generation for step in run.steps] for p, run in running}
        if self._file and any(written.values()):
            self._file.keep({key: made for key, made in written.items() if made})


def _usage(policy: AnyPolicy) -> dict[str, float]:
    """What the policy has counted of its requests; {} for one that counts none."""
    usage = cast(Any, getattr(policy, "usage", None))
    return {} if usage is None else asdict(usage)


@contextmanager
def _seeded(policy: AnyPolicy, settings: EvalSettings) -> Iterator[None]:
    """The policy's generator, where it has one, seeded inside and untouched afterwards.

    It is for policies that do not take ``Sampling.seeds``.
    """
    generator = cast(Any, getattr(policy, "generator", None))
    if generator is None:
        yield
        return
    state = generator.get_state()
    generator.manual_seed(derive_seed("evaluation sampling", settings.seed))
    try:
        yield
    finally:
        generator.set_state(state)


_NO_LIMIT = 1 << 30  # steps
_MAX_TOKENS = 256

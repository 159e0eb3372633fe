"""Evaluation: a policy and an environment in, scores with intervals out.

    result = evaluate(policy, lambda: srl_env.make("srl/ModularChain-v0", split="test"))

Every problem is rolled out several times at a temperature. On request it is also rolled out once
greedily and once along the expert's solution. Problems, episodes and random numbers depend on the
settings alone, not on the policy's history or speed. So two policies meet the same problems, and a
resumed evaluation gives the result of an uninterrupted one. The module ``srl_agents.runs.history``
checks that the problems are unseen; ``srl_agents.evaluation.scoring`` scores the episodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import islice
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, cast

from srl_agents.evaluation.batch_size import BatchSize
from srl_agents.evaluation.episodes import EpisodeLog
from srl_agents.evaluation.plan import SAMPLED, Block, Plan, Planned, choose_problems
from srl_agents.evaluation.scoring import EvalResult, Scores
from srl_agents.runs.evaluation import EvalSettings
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.policy import Sampling
from srl_env.rollout import EnvPool, EpisodeRunner, LiveEpisode
from srl_env.seeding import derive_seed

if TYPE_CHECKING:
    from srl_env.rollout import AnyPolicy

OnProgress = Callable[[int, int], None]
"""Called with the number of finished episodes and the number of all episodes."""

_MAX_TOKENS = 256
_SAVE_S = 10.0
"""Unfinished episodes are saved after the first round that ends this long after the last save."""


def evaluate(
    policy: AnyPolicy,
    make_env: Callable[[], ReasoningEnv],
    settings: EvalSettings | None = None,
    *,
    name: str = "policy",
    episodes: EpisodeLog | None = None,
    on_progress: OnProgress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> EvalResult:
    """The policy's scores on the environment's problems.

    make_env: Makes a new environment of the split to evaluate, equal to the others.
    name: Name of the policy in the result.
    episodes: Log that keeps every finished episode, and what unfinished ones have written.
    Episodes in it are not run again.
    clock: Seconds, to measure how fast the policy answers.
    A policy's torch generator is restored afterwards. If the policy counts its requests in
    ``usage`` (a dataclass), the counts are part of the result. Raises BadOption if ``parallel``
    needs a policy that several threads may call.
    """
    settings = (settings or EvalSettings()).filled(max_tokens=_MAX_TOKENS)
    _check_parallel(policy, settings)
    began, before = time.perf_counter(), _usage(policy)
    log = episodes or EpisodeLog(None)
    pools = [EnvPool(make_env) for _ in range(settings.parallel)]
    try:
        (env,) = pools[0].take(1)
        plan = Plan(choose_problems(env.problems, settings), settings)
        log.check(plan, env.problems)
        scores = Scores(plan, log)
        running = _Evaluation(policy, plan, log, scores, on_progress, clock)
        with _seeded(policy, settings):
            for block in plan.blocks:
                running.run(block, pools)
    finally:
        for pool in pools:
            pool.close()
    log.finish()
    scores.add_saved(log)
    spec = env.spec.id if env.spec else type(env).__name__
    result = scores.result(policy=name, env=spec, source=env.problems.name)
    return replace(
        result,
        seconds=time.perf_counter() - began,
        notes=tuple(getattr(policy, "notes", ())),
        usage={name: count - before[name] for name, count in _usage(policy).items()},
    )


class _Evaluation:
    """An evaluation that runs, in one thread or several."""

    def __init__(
        self,
        policy: AnyPolicy,
        plan: Plan,
        log: EpisodeLog,
        scores: Scores,
        on_progress: OnProgress | None,
        clock: Callable[[], float],
    ) -> None:
        self._policy, self._plan, self._log, self._scores = policy, plan, log, scores
        self._settings = plan.settings
        self._on_progress, self._clock = on_progress or (lambda done, total: None), clock
        self._lock, self._stopped = Lock(), Event()  # of the log, the scores and on_progress
        self._add([])

    def run(self, block: Block, pools: Sequence[EnvPool]) -> None:
        """Runs the missing episodes of a kind, in one thread for each pool."""
        waiting = (self._plan[number] for number in block.numbers if number not in self._log)
        temperature = self._settings.temperature if block.kind in SAMPLED else 0.0
        sampling = Sampling(temperature, cast(int, self._settings.max_tokens))

        def work(pool: EnvPool) -> None:
            try:
                self._work(waiting, EpisodeRunner(pool, self._policy, sampling))
            except BaseException:
                self._stopped.set()  # the other threads then end with what they have started
                raise

        if len(pools) == 1:
            work(pools[0])
            return
        with ThreadPoolExecutor(len(pools), thread_name_prefix="srl-env-eval") as threads:
            list(threads.map(work, pools))

    def _work(self, waiting: Iterator[Planned], runner: EpisodeRunner) -> None:
        """Runs waiting episodes; the batch size limits the episodes of a step."""
        running: list[tuple[Planned, LiveEpisode]] = []
        size, saved = BatchSize(self._settings.at_once), self._clock()
        try:
            while True:
                new = self._take(waiting, size.rows - len(runner.live))
                starts = [
                    replace(planned.start, written=self._log.written(planned.number))
                    for planned in new
                ]
                running += zip(new, runner.add(starts), strict=True)
                if not running:
                    return
                asked = sum(not run.replaying for run in runner.live[: size.rows])
                before = self._clock()
                runner.step(size.rows)
                now = self._clock()
                size.update(asked, now - before)
                ended = [(planned, run) for planned, run in running if run.ended]
                running = [(planned, run) for planned, run in running if not run.ended]
                self._add(ended)
                for _, run in ended:
                    runner.release(run)
                if now - saved >= _SAVE_S:
                    self._save(running)
                    saved = now
        finally:
            self._save(running)

    def _take(self, waiting: Iterator[Planned], most: int) -> list[Planned]:
        """Takes at most this many waiting episodes; none after an error in another thread."""
        with self._lock:
            return [] if self._stopped.is_set() else list(islice(waiting, max(0, most)))

    def _add(self, ended: Sequence[tuple[Planned, LiveEpisode]]) -> None:
        """Saves and scores finished episodes, and reports progress."""
        episodes = {planned.number: (planned.kind, run.episode()) for planned, run in ended}
        with self._lock:
            self._log.add(episodes)
            for number, (kind, episode) in episodes.items():
                self._scores.add(kind, number, episode)
            self._on_progress(self._log.count, len(self._plan))

    def _save(self, running: Sequence[tuple[Planned, LiveEpisode]]) -> None:
        """Saves what the policy has written in unfinished episodes."""
        written = {p.number: [step.generation for step in run.steps] for p, run in running}
        with self._lock:
            self._log.save_unfinished({number: made for number, made in written.items() if made})


def _check_parallel(policy: AnyPolicy, settings: EvalSettings) -> None:
    if settings.parallel > 1 and not getattr(policy, "concurrent", False):
        raise BadOption(
            f"parallel={settings.parallel} needs a policy that several threads may call at once"
            f" (its class sets concurrent = True); got {type(policy).__name__}. Fix: raise at_once"
            " instead"
        )


def _usage(policy: AnyPolicy) -> dict[str, float]:
    """The policy's counts of its requests; {} for a policy without counts."""
    usage = cast(Any, getattr(policy, "usage", None))
    return {} if usage is None else asdict(usage)


@contextmanager
def _seeded(policy: AnyPolicy, settings: EvalSettings) -> Iterator[None]:
    """Seeds the policy's torch generator inside, and restores it afterwards.

    It serves policies that do not take ``Sampling.seeds``.
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

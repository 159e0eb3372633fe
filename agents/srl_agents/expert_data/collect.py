"""Solutions sampled from a policy, checked, and kept as expert data.

    collected = collect(policy, make_env, CollectConfig(problems=50), Path("teacher.jsonl"))

Every finished episode is saved in ``teacher.jsonl.collect`` at once, so that a killed collection
asks for none a second time. Episodes that failed are run again by the next call, and are never
data. What is kept depends on the saved episodes and the settings alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from srl_agents.evaluation.episodes import EPISODES, EpisodeLog
from srl_agents.evaluation.evaluator import OnProgress, evaluate
from srl_agents.evaluation.plan import Plan, choose_problems
from srl_agents.expert_data.choice import CHOICES, without_duplicates
from srl_agents.expert_data.settings import CollectConfig
from srl_agents.expert_data.solutions import StepsNotChecked, read_solution
from srl_agents.runs.files import write_json
from srl_agents.runs.settings import read_tree
from srl_env.data.files.write import open_writer
from srl_env.environment import ReasoningEnv
from srl_env.errors import LimitReached
from srl_env.problem import ExpertTrajectory, Problem
from srl_env.rollout import Episode

if TYPE_CHECKING:
    from srl_env.rollout import AnyPolicy

USAGE = "usage.json"


@dataclass(slots=True)
class Collected:
    """What was collected.

    problems: the number of those with a kept solution. rejected: of those with rejected solutions.
    sampled: the number of solutions. planned: how many are to be sampled. verdicts: {verdict:
    solutions}. duplicates: accepted solutions that repeat another. kept: solutions that were
    written. failures: {type: solutions without a verdict}. tokens: in completions, as far as the
    policy counts them. usage: the policy's counts of requests, tokens and cost, those before a
    resume included. stopped: the limit that ended the sampling early.
    """

    problems: int = 0
    rejected: int = 0
    planned: int = 0
    sampled: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    kept: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    usage: dict[str, float] = field(default_factory=dict)
    stopped: LimitReached | None = None

    @property
    def acceptance(self) -> float:
        """The fraction of the judged solutions that are accepted; 0 without any."""
        return self.verdicts["accepted"] / (self.verdicts.total() or 1)

    def to_json(self) -> dict[str, Any]:
        """The counts."""
        names = ("planned", "sampled", "duplicates", "kept", "tokens", "usage", "acceptance")
        counts = {name: getattr(self, name) for name in (*names, "problems")}
        return counts | {
            "verdicts": dict(self.verdicts),
            "failures": dict(self.failures),
            "stopped": None if self.stopped is None else str(self.stopped),
        }


def collection_folder(out: Path) -> Path:
    """The folder that keeps the episodes of a collection, and what the policy used."""
    return out.with_name(f"{out.name}.collect")


def collect(
    policy: AnyPolicy,
    make_env: Callable[[], ReasoningEnv],
    settings: CollectConfig,
    out: Path,
    *,
    rejected: Path | None = None,
    name: str = "policy",
    on_progress: OnProgress | None = None,
) -> Collected:
    """Samples solutions of the environment's problems, and writes the accepted ones.

    out: file of the problems with a kept solution, which are their only experts; FILE.jsonl,
    FILE.parquet, or a folder for ``datasets``; it is replaced. rejected: file of the problems with
    rejected solutions, in the same form, with the reasons in metadata["rejected"]. name: the
    ``source`` of the solutions. on_progress: as for ``evaluate``. Raises what ``evaluate`` raises,
    apart from LimitReached: then it writes what there is.
    """
    folder = collection_folder(out)
    used, stopped = UsageFile(folder / USAGE, policy), None
    log = EpisodeLog(folder / EPISODES)
    log.drop_failed()

    def saved(done: int, total: int) -> None:
        used.save()
        if on_progress is not None:
            on_progress(done, total)

    try:
        evaluate(policy, make_env, settings, name=name, episodes=log, on_progress=saved)
    except LimitReached as limit:
        stopped = limit
    finally:
        used.save()
    with closing(make_env()) as env, ExitStack() as files:
        paths = [path for path in (out, rejected) if path is not None]
        writers = [files.enter_context(open_writer(path, force=True)) for path in paths]
        plan = Plan(choose_problems(env.problems, settings), settings)
        block = plan.blocks[0]
        collected = Collected(planned=len(block), usage=used.total, stopped=stopped)
        found = log.read(block.numbers)
        for place, group in groupby(found, key=lambda pair: block.place(pair[0])):
            problem = env.problems[plan.indices[place]]
            pair = _read(collected, env, problem, [e for _, e in group], settings, name)
            for writer, made in zip(writers, pair, strict=False):
                if made is not None:
                    writer.add(made)
    return collected


def _read(
    collected: Collected,
    env: ReasoningEnv,
    problem: Problem,
    episodes: Sequence[Episode],
    settings: CollectConfig,
    name: str,
) -> tuple[Problem | None, Problem | None]:
    """Counts the solutions of one problem; returns it with the kept and with the rejected ones."""
    accepted, rejected = list[ExpertTrajectory](), list[ExpertTrajectory]()
    reasons = list[str]()
    for episode in episodes:
        collected.sampled += 1
        collected.tokens += sum(step.generation.length for step in episode.steps)
        if episode.failure is not None:
            collected.failures[episode.failure["type"]] += 1
            continue
        try:
            solution = read_solution(env, episode, name, settings.splitter)
        except StepsNotChecked:
            collected.failures[StepsNotChecked.__name__] += 1
            continue
        collected.verdicts[solution.verdict] += 1
        if solution.trajectory is not None and solution.verdict == "accepted":
            accepted.append(solution.trajectory)
        elif solution.trajectory is not None:
            rejected.append(solution.trajectory)
            reasons.append(solution.verdict)
    different = without_duplicates(accepted)
    collected.duplicates += len(accepted) - len(different)
    kept = CHOICES[settings.keep](different, settings.per_problem)
    collected.kept += len(kept)
    collected.problems += bool(kept)
    collected.rejected += bool(rejected)
    metadata = {**problem.metadata, "rejected": reasons}
    return (
        replace(problem, trajectories=tuple(kept)) if kept else None,
        replace(problem, trajectories=tuple(rejected), metadata=metadata) if rejected else None,
    )


class UsageFile:
    """What a policy has used, in this process and in earlier ones that collected the same.

    A policy that does not count (``usage``, a dataclass of numbers) has used {}.
    """

    def __init__(self, path: Path, policy: AnyPolicy | None = None) -> None:
        self._path, self._policy = path, policy
        self._before: Mapping[str, float] = read_tree(path) if path.exists() else {}
        self._saved: dict[str, float] | None = None

    @property
    def total(self) -> dict[str, float]:
        """The counts of all processes."""
        counts = cast(Any, getattr(self._policy, "usage", None))
        now: dict[str, float] = {} if counts is None else asdict(counts)
        return {n: self._before.get(n, 0) + now.get(n, 0) for n in {**self._before, **now}}

    def save(self) -> None:
        """Writes the counts if they have changed."""
        total = self.total
        if total and total != self._saved:
            write_json(self._path, total)
            self._saved = total

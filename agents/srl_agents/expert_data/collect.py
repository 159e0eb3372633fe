"""Solutions sampled from a policy, checked, and kept as expert data.

    collected = collect(policy, make_env, CollectConfig(problems=50), Path("teacher.collect"))
    write_jsonl("teacher.jsonl", collected.problems)

Every finished episode is saved in the folder at once, so that a killed collection asks for none a
second time. Episodes that failed are run again by the next call, and are never data. What is kept
depends on the saved episodes and the settings alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from srl_agents.evaluation.episodes import EpisodeFile
from srl_agents.evaluation.evaluator import OnProgress, evaluate
from srl_agents.evaluation.plan import choose_problems, plan_episodes
from srl_agents.expert_data.choice import CHOICES, without_duplicates
from srl_agents.expert_data.settings import CollectConfig
from srl_agents.expert_data.solutions import StepsNotChecked, read_solution
from srl_agents.runs.files import write_json
from srl_agents.runs.settings import read_tree
from srl_env.environment import ReasoningEnv
from srl_env.errors import LimitReached
from srl_env.problem import ExpertTrajectory, Problem
from srl_env.rollout import Episode

if TYPE_CHECKING:
    from srl_env.rollout import AnyPolicy

EPISODES, USAGE = "episodes.jsonl", "usage.json"


@dataclass(slots=True)
class Collected:
    """What was collected.

    problems: those with a kept solution, which are their only experts. rejected: those with
    rejected solutions, in the same form, with the reasons in metadata["rejected"]. sampled: the
    number of solutions. planned: how many are to be sampled. verdicts: {verdict: solutions}.
    duplicates: accepted solutions that repeat another. kept: solutions in ``problems``. failures:
    {type: solutions without a verdict}. tokens: in completions, as far as the policy counts them.
    usage: the policy's counts of requests, tokens and cost, those before a resume included.
    stopped: the limit that ended the sampling early.
    """

    problems: list[Problem] = field(default_factory=list)
    rejected: list[Problem] = field(default_factory=list)
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
        counts = {name: getattr(self, name) for name in names}
        return counts | {
            "problems": len(self.problems),
            "verdicts": dict(self.verdicts),
            "failures": dict(self.failures),
            "stopped": None if self.stopped is None else str(self.stopped),
        }


def collect(
    policy: AnyPolicy,
    make_env: Callable[[], ReasoningEnv],
    settings: CollectConfig,
    folder: Path,
    *,
    name: str = "policy",
    on_progress: OnProgress | None = None,
) -> Collected:
    """The policy's accepted solutions of the environment's problems.

    folder: keeps the episodes and what the policy used. name: the ``source`` of the solutions.
    on_progress: as for ``evaluate``. Raises what ``evaluate`` raises, apart from LimitReached: then
    it returns what there is.
    """
    used, stopped = UsageFile(folder / USAGE, policy), None
    file = EpisodeFile(folder / EPISODES)
    for key in [key for key, episode in file.episodes.items() if episode.failure]:
        del file.episodes[key]

    def saved(done: int, total: int) -> None:
        used.save()
        if on_progress is not None:
            on_progress(done, total)

    try:
        evaluate(policy, make_env, settings, name=name, episodes=file, on_progress=saved)
    except LimitReached as limit:
        stopped = limit
    finally:
        used.save()
    with closing(make_env()) as env:
        plan = plan_episodes(choose_problems(env.problems, settings), settings)
        found = [
            (planned, file.episodes[planned.key])
            for planned in plan
            if planned.key in file.episodes
        ]
        collected = Collected(planned=len(plan), usage=used.total, stopped=stopped)
        for index, group in groupby(found, lambda pair: pair[0].start.options["problem"]):
            _read(collected, env, env.problems[index], [e for _, e in group], settings, name)
    return collected


def _read(
    collected: Collected,
    env: ReasoningEnv,
    problem: Problem,
    episodes: Sequence[Episode],
    settings: CollectConfig,
    name: str,
) -> None:
    """Adds the solutions of one problem."""
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
    if kept:
        collected.problems.append(replace(problem, trajectories=tuple(kept)))
    if rejected:
        metadata = {**problem.metadata, "rejected": reasons}
        collected.rejected.append(replace(problem, trajectories=tuple(rejected), metadata=metadata))


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

"""Scores of evaluated episodes: episodes in, one value per problem out. Pure functions.

Correctness comes from the verifier's verdict alone, never from a return: a dense reward above 0
says nothing about the answer. Episodes that an infrastructure failure ended are counted by the kind
of failure and enter no score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import compress, groupby
from math import isnan, nan
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, TypeAdapter

from srl_agents.evaluation.episodes import EpisodeLog
from srl_agents.evaluation.plan import Kind, Plan
from srl_agents.evaluation.statistics import Estimate, difference, estimate, pass_at_k
from srl_env.errors import BadOption
from srl_env.rollout import Episode
from srl_env.seeding import stream

Values = NDArray[np.float64]
Score = Annotated[float, BeforeValidator(lambda value: nan if value is None else value)]
"""A number; null in JSON is NaN."""


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One policy on one set of problems.

    policy, env, source: what was evaluated on what; the source's name includes the split.
    scores: {name: one value per problem, NaN where there is none}; see ``Scores.table``.
    episodes: number of episodes, failures included. failures: {kind: episodes that it ended}.
    policy_faults: episodes whose policy made judging fail; they count as wrong.
    settings: how it was evaluated, JSON-safe. seconds: wall clock time. usage: requests, tokens
    and cost, if the policy counts them. After a resumption both cover the last process only.
    notes: where the policy's sampling differs from the settings.
    """

    policy: str
    env: str
    source: str
    problem_ids: tuple[str, ...]
    scores: dict[str, tuple[Score, ...]]
    episodes: int
    failures: dict[str, int]
    settings: dict[str, Any]
    seconds: float
    usage: dict[str, float] = field(default_factory=dict)
    policy_faults: int = 0
    notes: tuple[str, ...] = ()

    def estimates(self) -> dict[str, Estimate]:
        """Each score's mean over the problems, with a bootstrap interval over the problems."""
        rng = stream("bootstrap", self.source)
        return {name: estimate(values, rng=rng) for name, values in self.scores.items()}

    def to_json(self) -> dict[str, Any]:
        """JSON-safe (NaN is null), with the estimates."""
        estimates = {name: asdict(estimate) for name, estimate in self.estimates().items()}
        return dict(without_nan(asdict(self) | {"estimates": estimates}))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EvalResult:
        """The result from what ``to_json`` returned; ValueError for other data."""
        return TypeAdapter(cls).validate_python(data)


class Scores:
    """The scores of an evaluation, made problem by problem; no episode is kept.

    An episode waits until all of its problem and kind are there, and is then in a few numbers.
    """

    def __init__(self, plan: Plan, log: EpisodeLog | None = None) -> None:
        """log: problems of which it has some episodes now are left to ``add_saved``."""
        self.plan = plan
        self._of_kind = {block.kind: block for block in plan.blocks}
        self._waiting: dict[range, dict[int, Episode]] = {}
        self._made = {kind: np.zeros(block.problems, bool) for kind, block in self._of_kind.items()}
        self._begun = {} if log is None else {b.kind: b.some(log.has) for b in plan.blocks}
        self._ids = [""] * len(plan.indices)
        self._counts = np.zeros((2, len(plan.indices)), np.int32)  # rollouts, correct
        self._values: dict[str, Values] = {}
        self._episodes, self._faults, self._failures = 0, 0, Counter[str]()

    def add(self, kind: Kind, number: int, episode: Episode) -> None:
        """One episode of the plan, in any order."""
        block = self._of_kind[kind]
        if self._begun and self._begun[kind][block.place(number)]:
            return
        numbers = block.group(block.place(number))
        members = self._waiting.setdefault(numbers, {})
        members[number] = episode
        if len(members) == block.copies:
            del self._waiting[numbers]
            self._add_problem(kind, block.place(number), [members[n] for n in numbers])

    def add_saved(self, log: EpisodeLog) -> None:
        """The episodes of a log for problems that are not complete yet, as far as they are there.

        Problems that stay incomplete are scored by the episodes that there are.
        """
        self._waiting.clear()
        for kind, block in self._of_kind.items():
            saved = log.read(block.groups(~self._made[kind]))
            for place, found in groupby(saved, lambda one, block=block: block.place(one[0])):  # type: ignore[misc]
                self._add_problem(kind, place, [episode for _, episode in found])

    def _add_problem(self, kind: Kind, place: int, episodes: Sequence[Episode]) -> None:
        sound = [episode for episode in episodes if episode.failure is None]
        self._made[kind][place] = True
        self._episodes += len(episodes)
        self._faults += sum(episode.policy_fault is not None for episode in episodes)
        self._failures.update(e.failure["type"] for e in episodes if e.failure is not None)
        if kind == "sampled":
            self._ids[place] = episodes[0].problem_id
            self._counts[:, place] = len(sound), sum(map(_correct, sound))
        for name, (of_kind, measure) in _SCORES.items():
            if of_kind == kind and not isnan(value := measure(sound)):
                if name not in self._values:
                    self._values[name] = np.full(len(self._ids), nan)
                self._values[name][place] = value

    def table(self) -> dict[str, tuple[float, ...]]:
        """{score: its value for each problem}; scores without any value are absent.

        pass@k for each k, where pass@1 is the mean over rollouts (avg@k); greedy: 1 or 0; legal:
        fraction of legal steps, if the environment has a step checker; legal_and_correct: fraction
        of rollouts that are correct *and* have legal steps only; similarity, sampled_similarity:
        greedy and at the temperature, mean over the expert's steps, 0 for a step in the wrong
        format; format: fraction of steps in the right format; steps, tokens: per rollout;
        truncated: fraction of steps that reached the token limit; entropy: in nats per token, the
        mean of −log p over the sampled tokens, which estimates it, for policies that give
        log-probs.
        """
        made = self._made["sampled"]
        found = {
            f"pass@{k}": pass_at_k(self._counts[0, made], self._counts[1, made], k)
            for k in self.plan.settings.ks
        }
        found |= {name: self._values[name][made] for name in _SCORES if name in self._values}
        return {name: shared(v) for name, v in found.items() if not np.isnan(v).all()}

    def result(self, *, policy: str, env: str, source: str) -> EvalResult:
        """The result, without the time it took."""
        return EvalResult(
            policy=policy,
            env=env,
            source=source,
            problem_ids=tuple(compress(self._ids, self._made["sampled"])),
            scores=self.table(),
            episodes=self._episodes,
            failures=dict(sorted(self._failures.items())),
            policy_faults=self._faults,
            settings=self.plan.settings.model_dump(mode="json"),
            seconds=0.0,
        )


def shared(values: Iterable[float]) -> tuple[float, ...]:
    """The values, equal ones as one object: a million scores need little memory."""
    known: dict[float, float] = {}
    return tuple(nan if isnan(v) else known.setdefault(v, v) for v in map(float, values))


def score_gains(before: EvalResult, after: EvalResult) -> dict[str, Estimate]:
    """{score: after − before, with its interval}, for scores that both have.

    The differences are paired: the intervals resample the problems of both at once. Raises
    BadOption if the problems differ.
    """
    if before.problem_ids != after.problem_ids:
        raise BadOption("a gain needs two evaluations on the same problems; these differ")
    rng = stream("gain", after.source)
    return {
        name: difference(after.scores[name], values, rng=rng)
        for name, values in before.scores.items()
        if name in after.scores
    }


def without_nan(value: Any) -> Any:
    """The JSON value with null for NaN, at any depth."""
    if isinstance(value, dict):
        return {key: without_nan(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(v) for v in value]
    return None if isinstance(value, float) and isnan(value) else value


def _correct(episode: Episode) -> bool:
    return episode.verdict is not None and bool(episode.verdict["correct"])


def _legal_and_correct(episodes: Sequence[Episode]) -> float:
    """NaN without a step checker, so that the score is absent."""
    checked = [e for e in episodes if e.steps and all(s.legal is not None for s in e.steps)]
    return _mean(_correct(e) and all(s.legal for s in e.steps) for e in checked)


def _similarity(episodes: Sequence[Episode]) -> float:
    return _mean(s.reward_parts.get("similarity", 0.0) for e in episodes for s in e.steps)


def _tokens(episodes: Sequence[Episode]) -> float:
    """NaN for policies without tokens."""
    written = [sum(s.generation.length for s in e.steps) for e in episodes]
    return _mean(written) if any(written) else nan


def _entropy(episodes: Sequence[Episode]) -> float:
    """NaN for policies without log-probs."""
    return _mean(-p for e in episodes for s in e.steps for p in s.generation.logprobs)


_SCORES: dict[str, tuple[Kind, Callable[[Sequence[Episode]], float]]] = {
    "greedy": ("greedy", lambda episodes: _mean(map(_correct, episodes))),
    "legal": (
        "sampled",
        lambda episodes: _mean(s.legal for e in episodes for s in e.steps if s.legal is not None),
    ),
    "legal_and_correct": ("sampled", _legal_and_correct),
    "format": ("sampled", lambda episodes: _mean(s.format_ok for e in episodes for s in e.steps)),
    "steps": ("sampled", lambda episodes: _mean(len(e.steps) for e in episodes)),
    "tokens": ("sampled", _tokens),
    "truncated": (
        "sampled",
        lambda episodes: _mean(
            s.generation.finish_reason == "length" for e in episodes for s in e.steps
        ),
    ),
    "entropy": ("sampled", _entropy),
    "similarity": ("forced", _similarity),
    "sampled_similarity": ("forced_sampled", _similarity),
}
"""{score: the episodes that it is made from, and its value for those of one problem}."""


def _mean(values: Iterable[float | bool]) -> float:
    found = [float(value) for value in values]
    return float(np.mean(found)) if found else nan

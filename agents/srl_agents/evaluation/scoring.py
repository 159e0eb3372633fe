"""Scores of evaluated episodes: episodes in, one value per problem out. Pure functions.

Correctness comes from the verifier's verdict alone, never from a return: a dense reward above 0
says nothing about the answer. Episodes that an infrastructure failure ended are counted by the kind
of failure and enter no score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isnan, nan
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, TypeAdapter

from srl_agents.evaluation.plan import Finished, Kind, group_by_problem
from srl_agents.evaluation.statistics import Estimate, difference, estimate, pass_at_k
from srl_agents.runs.evaluation import EvalSettings
from srl_env.errors import BadOption
from srl_env.rollout import Episode
from srl_env.seeding import stream

Scored = Mapping[Kind, Sequence[Sequence[Episode]]]
"""For each kind, for each problem in order, its episodes."""


Score = Annotated[float, BeforeValidator(lambda value: nan if value is None else value)]
"""A number; null in JSON is NaN."""


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One policy on one set of problems.

    policy, env, source: what was evaluated on what; the source's name includes the split.
    scores: {name: one value per problem, NaN where there is none}; see ``score_episodes``.
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


def score(
    finished: Sequence[Finished], settings: EvalSettings, *, policy: str, env: str, source: str
) -> EvalResult:
    """The result of all episodes of an evaluation."""
    groups = group_by_problem(finished)
    episodes = [episode for _, episode in finished]
    failures = Counter(e.failure["type"] for e in episodes if e.failure is not None)
    return EvalResult(
        policy=policy,
        env=env,
        source=source,
        problem_ids=tuple(group[0].problem_id for group in groups.get("sampled", [])),
        scores=score_episodes(groups, settings.ks),
        episodes=len(episodes),
        failures=dict(sorted(failures.items())),
        policy_faults=sum(episode.policy_fault is not None for episode in episodes),
        settings=settings.model_dump(mode="json"),
        seconds=0.0,
    )


def score_episodes(scored: Scored, ks: Sequence[int]) -> dict[str, tuple[float, ...]]:
    """{score: its value for each problem}; scores without any value are absent.

    pass@k for each k, where pass@1 is the mean over rollouts (avg@k); greedy: 1 or 0; legal:
    fraction of legal steps, if the environment has a step checker; legal_and_correct: fraction of
    rollouts that are correct *and* have legal steps only; similarity, sampled_similarity: greedy
    and at the temperature, mean over the expert's steps, 0 for a step in the wrong format; format:
    fraction of steps in the right format; steps, tokens: per rollout; truncated: fraction of steps
    that reached the token limit; entropy: in nats per token, the mean of −log p over the sampled
    tokens, which estimates it, for policies that give log-probs.
    """
    sampled = [_sound(episodes) for episodes in scored.get("sampled", [])]
    n, c = [len(e) for e in sampled], [sum(map(_correct, e)) for e in sampled]
    table = {f"pass@{k}": tuple(pass_at_k(n, c, k).tolist()) for k in ks} if sampled else {}
    for name, (kind, measure) in _SCORES.items():
        table[name] = tuple(measure(_sound(episodes)) for episodes in scored.get(kind, []))
    return {name: values for name, values in table.items() if not all(map(isnan, values))}


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


def _sound(episodes: Sequence[Episode]) -> list[Episode]:
    return [episode for episode in episodes if episode.failure is None]


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

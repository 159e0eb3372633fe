"""What evaluated episodes are worth: episodes in, scores per problem out. Pure functions.

Right or wrong comes from the verifier's verdict alone, never from a return: a dense reward that
is above 0 says nothing about the answer. Episodes that a failure of ours ended are counted by
their kind and enter no score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isnan, nan
from typing import Any, Literal

import numpy as np

from srl_agents.evaluation.statistics import Estimate, difference, estimate, pass_at_k
from srl_env.errors import BadOption
from srl_env.rollout import Episode
from srl_env.seeding import stream

Kind = Literal["sampled", "greedy", "forced", "forced_sampled"]
"""How an episode was made: sampled at a temperature or greedily; the forced ones are one step
after the expert's steps."""
SAMPLED: tuple[Kind, ...] = ("sampled", "forced_sampled")
FORCED: tuple[Kind, ...] = ("forced", "forced_sampled")

Scored = Mapping[Kind, Sequence[Sequence[Episode]]]
"""For each kind, for each problem in order, its episodes."""


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One policy on one set of problems.

    policy, env, source: what was evaluated on what (the source's name includes the split).
    scores: {name: one value per problem, NaN where there is none}; see ``score_episodes``.
    episodes: how many were run, failures included. failures: {kind: episodes it ended}.
    policy_faults: episodes whose policy made judging it fail; they count as wrong.
    settings: how it was evaluated, JSON-safe. seconds: of wall clock. usage: requests, tokens
    and cost of a policy that counts them; both are of this process, after a resumption too.
    notes: in what the policy sampled otherwise than the settings say.
    """

    policy: str
    env: str
    source: str
    problem_ids: tuple[str, ...]
    scores: dict[str, tuple[float, ...]]
    episodes: int
    failures: dict[str, int]
    settings: dict[str, Any]
    seconds: float
    usage: dict[str, float] = field(default_factory=dict)
    policy_faults: int = 0
    notes: tuple[str, ...] = ()

    def estimates(self, level: float = 0.95) -> dict[str, Estimate]:
        """Each score's mean over the problems, with a bootstrap interval over the problems."""
        rng = stream("bootstrap", self.source)
        return {
            name: estimate(values, rng=rng, level=level) for name, values in self.scores.items()
        }

    def to_json(self) -> dict[str, Any]:
        """JSON-safe (NaN is null), with the estimates beside what they are made from."""
        estimates = {name: _no_nan(asdict(e)) for name, e in self.estimates().items()}
        scores = {name: [_null(v) for v in values] for name, values in self.scores.items()}
        return asdict(self) | {"estimates": estimates, "scores": scores}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EvalResult:
        """The result that ``to_json`` was called on."""
        fields = {name: value for name, value in data.items() if name != "estimates"}
        fields["problem_ids"] = tuple(data["problem_ids"])
        fields["notes"] = tuple(data.get("notes", ()))
        fields["scores"] = {
            name: tuple(nan if v is None else float(v) for v in values)
            for name, values in data["scores"].items()
        }
        return cls(**fields)


def score_episodes(scored: Scored, ks: Sequence[int]) -> dict[str, tuple[float, ...]]:
    """{name of a score: its value for each problem}; scores without any value are absent.

    pass@k for each k, pass@1 being the mean over rollouts (avg@k); greedy: 1 or 0; legal: share
    of legal steps, where the environment has a step checker; legal_and_right: share of rollouts
    that are legal throughout *and* right; similarity, sampled_similarity: greedily and at the
    temperature, mean over the expert's steps, 0 where the format was not kept; format: share of
    steps that keep it; steps, tokens: per rollout; cut: share of steps that ran into the token
    limit.
    """
    sampled = [_sound(episodes) for episodes in scored.get("sampled", [])]
    n, c = [len(e) for e in sampled], [sum(map(_right, e)) for e in sampled]
    table = {f"pass@{k}": tuple(pass_at_k(n, c, k).tolist()) for k in ks} if sampled else {}
    table["greedy"] = tuple(map(_greedy, map(_sound, scored.get("greedy", []))))
    table |= {name: tuple(map(score, sampled)) for name, score in _PER_PROBLEM.items()}
    table["similarity"] = tuple(map(_similarity, map(_sound, scored.get("forced", []))))
    forced_sampled = map(_sound, scored.get("forced_sampled", []))
    table["sampled_similarity"] = tuple(map(_similarity, forced_sampled))
    return {name: values for name, values in table.items() if not all(map(isnan, values))}


def score_gains(before: EvalResult, after: EvalResult) -> dict[str, Estimate]:
    """{score: after − before, with its interval}, for scores that both have.

    Paired: the intervals resample the problems of both at once. Raises BadOption where the
    problems differ.
    """
    if before.problem_ids != after.problem_ids:
        raise BadOption("a gain is measured on the same problems; these two evaluations differ")
    rng = stream("gain", after.source)
    return {
        name: difference(after.scores[name], values, rng=rng)
        for name, values in before.scores.items()
        if name in after.scores
    }


def count_failures(episodes: Iterable[Episode]) -> dict[str, int]:
    """{kind of failure: how many episodes it ended}."""
    kinds = (episode.failure["type"] for episode in episodes if episode.failure is not None)
    return dict(sorted(Counter(kinds).items()))


def count_policy_faults(episodes: Iterable[Episode]) -> int:
    """How many episodes were wrong because the policy made judging them fail."""
    return sum(episode.policy_fault is not None for episode in episodes)


def _sound(episodes: Sequence[Episode]) -> list[Episode]:
    return [episode for episode in episodes if episode.failure is None]


def _right(episode: Episode) -> bool:
    return episode.verdict is not None and bool(episode.verdict["correct"])


def _greedy(episodes: Sequence[Episode]) -> float:
    return _mean(map(_right, episodes))


def _legal(episodes: Sequence[Episode]) -> float:
    return _mean(s.legal for e in episodes for s in e.steps if s.legal is not None)


def _legal_and_right(episodes: Sequence[Episode]) -> float:
    """NaN where no step was checked, so that it is absent without a step checker."""
    checked = [e for e in episodes if e.steps and all(s.legal is not None for s in e.steps)]
    return _mean(_right(e) and all(s.legal for s in e.steps) for e in checked)


def _similarity(episodes: Sequence[Episode]) -> float:
    return _mean(s.reward_parts.get("similarity", 0.0) for e in episodes for s in e.steps)


def _format(episodes: Sequence[Episode]) -> float:
    return _mean(s.format_ok for e in episodes for s in e.steps)


def _steps(episodes: Sequence[Episode]) -> float:
    return _mean(len(e.steps) for e in episodes)


def _tokens(episodes: Sequence[Episode]) -> float:
    """NaN for policies without tokens."""
    written = [sum(len(s.generation.token_ids) for s in e.steps) for e in episodes]
    return _mean(written) if any(written) else nan


def _cut(episodes: Sequence[Episode]) -> float:
    return _mean(s.generation.finish_reason == "length" for e in episodes for s in e.steps)


_PER_PROBLEM: dict[str, Callable[[Sequence[Episode]], float]] = {
    "legal": _legal,
    "legal_and_right": _legal_and_right,
    "format": _format,
    "steps": _steps,
    "tokens": _tokens,
    "cut": _cut,
}


def _mean(values: Iterable[float | bool]) -> float:
    found = [float(value) for value in values]
    return float(np.mean(found)) if found else nan


def _null(value: float) -> float | None:
    return None if isnan(value) else value


def _no_nan(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _null(value) for name, value in values.items()}

"""Signs that a policy is rewarded for something else than reasoning, from saved episodes.

Outcome rewards on problems that are too hard pay accidents, and what accidents have in common is
learned: answers repeated, computation skipped (arXiv:2605.28388). Coherence of adjacent steps is
told apart from the validity of the whole: a solution can read well from step to step and be
wrong, or be right with steps that have nothing to do with each other.

All of them look at what was written, not at what was meant: compare a trained model with the one
it began from, rather than any number with zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import nan

import numpy as np

from srl_agents.evaluation.folder import SavedEvaluation
from srl_agents.evaluation.statistics import Estimate, estimate
from srl_env.problem import Problem
from srl_env.rewards import step_similarity
from srl_env.rollout import Episode
from srl_env.seeding import stream

ALIKE = 0.5
LITTLE_WORK = 0.25

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|\w+")


@dataclass(frozen=True, slots=True)
class Seen:
    """An episode and what is needed to judge it.

    extract: the verifier's, which finds an answer in an action.
    """

    episode: Episode
    problem: Problem
    extract: Callable[[str], str | None]

    @property
    def actions(self) -> list[str]:
        """The policy's own actions; of a whole solution, its lines."""
        actions = [step.action.strip() for step in self.episode.steps]
        if self.episode.granularity == "solution":
            actions = [line.strip() for action in actions for line in action.split("\n")]
        return [action for action in actions if action]


Measure = Callable[[Seen], float | None]
"""A number for an episode; None where it says nothing."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """about: what the mean over episodes is."""

    about: str
    measure: Measure


def monitor(saved: SavedEvaluation) -> dict[str, tuple[float, ...]]:
    """{name of a monitor: its mean for each problem, NaN where it says nothing}.

    Over the sampled rollouts that did not fail; monitors that say nothing at all are absent.
    """
    env = saved.make_env()
    table: dict[str, list[float]] = {name: [] for name in MONITORS}
    for index, episodes in saved.by_problem("sampled"):
        problem = env.problems[index]
        seen = [Seen(e, problem, env.verifier.extract) for e in episodes if e.failure is None]
        for name, one in MONITORS.items():
            table[name].append(_mean(map(one.measure, seen)))
    env.close()
    return {name: tuple(v) for name, v in table.items() if not np.isnan(v).all()}


def estimates(table: Mapping[str, Sequence[float]], source: str) -> dict[str, Estimate]:
    """The mean of each monitor over the problems, with a bootstrap interval."""
    rng = stream("bootstrap", source)
    return {name: estimate(values, rng=rng) for name, values in table.items()}


def repeats(seen: Seen) -> float:
    """1 where an action stands there twice, or the final answer is given before the last one."""
    actions = seen.actions
    if len(set(actions)) < len(actions):
        return 1.0
    final = seen.extract(actions[-1]) if actions else None
    return float(final is not None and any(seen.extract(a) == final for a in actions[:-1]))


def little_work(seen: Seen) -> float | None:
    """1 where a right solution is below a quarter of the expert's length, thoughts included."""
    expert = [sum(map(len, trajectory.actions)) for trajectory in seen.problem.trajectories]
    if not expert or not seen.episode.correct or seen.episode.start_step:
        return None
    written = sum(len(step.generation.text.strip()) for step in seen.episode.steps)
    return float(written < LITTLE_WORK * min(expert))


def skipped(seen: Seen) -> float | None:
    """The share of the expert's steps, the last apart, that no action of a right solution is
    alike (similarity of at least one half); of several experts, the one that is followed best."""
    if not seen.episode.correct:
        return None
    shares = []
    for trajectory in seen.problem.trajectories:
        steps = trajectory.actions[seen.episode.start_step : -1]
        if steps:
            missing = [not _has_alike(seen.actions, step) for step in steps]
            shares.append(sum(missing) / len(missing))
    return min(shares, default=None)


def coherence(seen: Seen) -> float | None:
    """The share of actions that take up something the action before them brought in.

    What an action brings in: numbers and words that neither problem nor earlier actions had.
    """
    known = set(_tokens(seen.problem.prompt))
    for trajectory in seen.problem.trajectories[:1]:
        known.update(*map(_tokens, trajectory.actions[: seen.episode.start_step]))
    links = []
    tokens = [set(_tokens(action)) for action in seen.actions]
    for now, after in pairwise(tokens):
        if new := now - known:
            links.append(bool(new & after))
        known |= now
    return sum(links) / len(links) if links else None


def _when(measure: Measure, right: bool) -> Measure:
    """A measure of right, or of wrong, episodes alone."""
    return lambda seen: measure(seen) if seen.episode.correct is right else None


def _right_but_illegal(seen: Seen) -> float | None:
    """1 where a right solution has a step that is not legal; without a step checker, None."""
    checked = [step.legal for step in seen.episode.steps if step.legal is not None]
    return float(not all(checked)) if checked and seen.episode.correct else None


MONITORS: Mapping[str, Monitor] = {
    "repeats": Monitor("rollouts that repeat an action or their answer", repeats),
    "repeats, right": Monitor("the same, of right ones", _when(repeats, True)),
    "little work": Monitor("right with below a quarter of the expert's text", little_work),
    "skipped": Monitor("expert's steps that a right solution has nothing like", skipped),
    "coherence, right": Monitor(
        "actions that take up the one before, in right ones", _when(coherence, True)
    ),
    "coherence, wrong": Monitor("the same, in wrong ones", _when(coherence, False)),
    "right but illegal": Monitor("right with a step that is not legal", _right_but_illegal),
}


def _has_alike(actions: Sequence[str], step: str) -> bool:
    return any(step_similarity(action, step) >= ALIKE for action in actions)


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.casefold())


def _mean(values: Iterable[float | None]) -> float:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else nan

"""Step measures compared on the same steps: how they agree, with each other and with the verdict.

All measures of a step come from one replay (``srl_env.rewards.SideBySide``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from srl_env.rollout import Episode


@dataclass(frozen=True, slots=True)
class MeasuredStep:
    """A step in the right format. episode: the number of its episode. values: by measure."""

    problem_id: str
    episode: int
    index: int
    action: str
    expert_action: str
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Measures of the same steps.

    measures: their names. steps: all of them that have values. correct: {episode: its verdict}, for
    those that have one.
    """

    measures: tuple[str, ...]
    steps: tuple[MeasuredStep, ...]
    correct: dict[int, bool]

    def values(self, measure: str) -> NDArray[np.float64]:
        """(S,) the measure of each step."""
        return np.array([step.values[measure] for step in self.steps])

    def correlations(self, one: str, other: str) -> tuple[float, float]:
        """Of the values (Pearson), and of their ranks (Spearman); NaN if one is constant."""
        a, b = self.values(one), self.values(other)
        return correlation(a, b), correlation(ranks(a), ranks(b))

    def disagreements(self, one: str, other: str, count: int) -> list[MeasuredStep]:
        """The steps whose ranks under two measures differ most, at most one of each text."""
        gaps = np.abs(ranks(self.values(one)) - ranks(self.values(other)))
        found = dict[tuple[str, str], MeasuredStep]()
        for place in np.argsort(-gaps, kind="stable"):
            step = self.steps[place]
            if gaps[place] > 0:
                found.setdefault((step.action, step.expert_action), step)
            if len(found) == count:
                break
        return list(found.values())

    def auc(self, measure: str) -> float:
        """The chance that a correct episode has the higher mean measure of a step than a wrong one.

        0.5 means that the measure says nothing of the verdict; NaN without both sorts of episodes.
        """
        means, correct = self._means(measure)
        return auc(means, correct)

    def auc_within(self, measure: str) -> float:
        """The same among the rollouts of one problem, averaged over problems with both sorts.

        This is what a group of rollouts compares.
        """
        means, correct = self._means(measure)
        problems = np.array([self.problems[n] for n in self._judged()])
        found = [
            auc(np.array(means)[problems == each], np.array(correct)[problems == each])
            for each in dict.fromkeys(problems.tolist())
        ]
        known = [value for value in found if value == value]
        return float(np.mean(known)) if known else float("nan")

    def step_auc(self, measure: str) -> float:
        """The same for single steps: of a correct episode against those of a wrong one."""
        judged = [step for step in self.steps if step.episode in self.correct]
        values = [step.values[measure] for step in judged]
        return auc(values, [self.correct[step.episode] for step in judged])

    @property
    def problems(self) -> dict[int, str]:
        """{episode: its problem}, of episodes with steps."""
        return {step.episode: step.problem_id for step in self.steps}

    def _judged(self) -> list[int]:
        return [number for number in self.problems if number in self.correct]

    def _means(self, measure: str) -> tuple[list[float], list[bool]]:
        by_episode = dict[int, list[float]]()
        for step in self.steps:
            by_episode.setdefault(step.episode, []).append(step.values[measure])
        judged = self._judged()
        return [float(np.mean(by_episode[n])) for n in judged], [self.correct[n] for n in judged]


def compared(episodes: Iterable[Episode], measures: Sequence[str]) -> Comparison:
    """The comparison on episodes that ``SideBySide`` rewarded; failed ones do not count."""
    steps, correct = list[MeasuredStep](), dict[int, bool]()
    for number, episode in enumerate(episodes):
        if episode.failure is not None:
            continue
        if episode.correct is not None:
            correct[number] = episode.correct
        for step in episode.steps:
            parts, expert = step.reward_parts, step.expert_action
            values = {name: parts[name] for name in measures if name in parts}
            if values and expert is not None:
                where = (episode.problem_id, number, step.index)
                steps.append(MeasuredStep(*where, step.action, expert, values))
    return Comparison(tuple(measures), tuple(steps), correct)


def auc(values: ArrayLike, positive: ArrayLike) -> float:
    """The area under the ROC curve; ties count half. NaN without both classes."""
    yes = np.asarray(positive, bool)
    many, few = int(yes.sum()), int((~yes).sum())
    if not many or not few:
        return float("nan")
    return float((ranks(values)[yes].sum() - many * (many + 1) / 2) / (many * few))


def ranks(values: ArrayLike) -> NDArray[np.float64]:
    """(S,) ranks from 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: NDArray[np.float64] = (last - (counts - 1) / 2)[places]
    return found


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's; NaN if one is constant."""
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])

"""How hard problems are for a policy, by how often it solves them, and which to train on.

Bands depend on the sampled rollouts of a saved evaluation. A problem that is never solved in n
tries gives no outcome reward. A problem that is rarely solved gives a large advantage to a possible
accident (arXiv:2605.28388). The bands "unsolved" and "hard" together are D_hard, where imitation
of an expert's steps helps most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from srl_agents.evaluation.folder import SavedEvaluation
from srl_env.errors import BadOption, UnknownName
from srl_env.rollout import Episode

BANDS = ("unsolved", "hard", "medium", "easy", "unknown")


@dataclass(frozen=True, slots=True)
class Rated:
    """A problem with its result: ``correct`` of ``rollouts`` that did not fail."""

    problem_id: str
    rollouts: int
    correct: int
    band: str

    @property
    def pass_rate(self) -> float:
        """pass@1; NaN without a rollout."""
        return self.correct / self.rollouts if self.rollouts else float("nan")


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Rated problems of a source, for one policy.

    hard_below, easy_from: bounds of pass@1 for the bands "hard" and "easy".
    """

    policy: str
    env: str
    source: str
    hard_below: float
    easy_from: float
    rated: tuple[Rated, ...]

    def of(self, bands: Iterable[str]) -> list[Rated]:
        """The problems of some bands, in order. Raises UnknownName for an unknown band."""
        wanted = set(bands)
        for band in wanted - set(BANDS):
            raise UnknownName("band", band, BANDS)
        return [rated for rated in self.rated if rated.band in wanted]

    def to_json(self, bands: Sequence[str]) -> dict[str, Any]:
        """A problem file for training ("problems", those of some bands), with all ratings."""
        problems = [rated.problem_id for rated in self.of(bands)]
        return asdict(self) | {"bands": list(bands), "problems": problems}


def rate(
    saved: SavedEvaluation, *, hard_below: float = 0.25, easy_from: float = 0.75
) -> Difficulty:
    """Every problem of a saved evaluation with its band.

    unsolved: never correct; hard: correct in less than ``hard_below`` of the rollouts; easy: in at
    least ``easy_from``; medium: between; unknown: every rollout failed.
    """
    if not 0 <= hard_below <= easy_from <= 1:
        raise BadOption(
            f"bands need 0 ≤ hard_below ≤ easy_from ≤ 1; got {hard_below:g} and {easy_from:g}"
        )
    rated = tuple(
        _rated(episodes, hard_below, easy_from) for _, episodes in saved.by_problem("sampled")
    )
    record = saved.record
    return Difficulty(record["policy"], record["env"], saved.source, hard_below, easy_from, rated)


def _rated(episodes: Sequence[Episode], hard_below: float, easy_from: float) -> Rated:
    sound = [episode for episode in episodes if episode.failure is None]
    correct = sum(bool(episode.correct) for episode in sound)
    if not sound:
        band = "unknown"
    elif correct == 0:
        band = "unsolved"
    elif correct / len(sound) < hard_below:
        band = "hard"
    else:
        band = "easy" if correct / len(sound) >= easy_from else "medium"
    return Rated(episodes[0].problem_id, len(sound), correct, band)

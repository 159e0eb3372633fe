"""How hard problems are for a policy, by how often it solves them; and which to train on.

Bands go by the sampled rollouts of a saved evaluation. A problem that is never solved in n tries
gives no outcome reward, and one that is rarely solved gives a large advantage to what may be an
accident (arXiv:2605.28388): the bands "unsolved" and "hard" together are D_hard, where imitation
of an expert's steps has the most to give.
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
    """A problem and how it went: ``right`` of ``rollouts`` that did not fail."""

    problem_id: str
    rollouts: int
    right: int
    band: str

    @property
    def pass_rate(self) -> float:
        """pass@1; NaN without a rollout."""
        return self.right / self.rollouts if self.rollouts else float("nan")


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Rated problems of a source, by a policy.

    hard_below, easy_from: the bounds of pass@1 of the bands "hard" and "easy".
    """

    policy: str
    env: str
    source: str
    hard_below: float
    easy_from: float
    rated: tuple[Rated, ...]

    def of(self, bands: Iterable[str]) -> list[Rated]:
        """The problems of some bands, in order."""
        wanted = set(bands)
        return [rated for rated in self.rated if rated.band in wanted]

    def to_json(self, bands: Sequence[str]) -> dict[str, Any]:
        """What ``problem_file`` reads: "problems", those of some bands; and all ratings."""
        return {
            **asdict(self),
            "rated": [asdict(rated) for rated in self.rated],
            "bands": list(bands),
            "problems": [rated.problem_id for rated in self.of(bands)],
        }


def rate(
    saved: SavedEvaluation, *, hard_below: float = 0.25, easy_from: float = 0.75
) -> Difficulty:
    """Every problem of a saved evaluation with its band.

    unsolved: never right; hard: right, in less than ``hard_below`` of the rollouts; easy: in at
    least ``easy_from``; medium: between; unknown: every rollout failed.
    """
    if not 0 <= hard_below <= easy_from <= 1:
        raise BadOption(
            f"bands need 0 ≤ hard_below ≤ easy_from ≤ 1; got {hard_below:g} and {easy_from:g}"
        )
    env = saved.make_env()
    source = env.problems.name
    env.close()
    rated = tuple(
        _rated(episodes, hard_below, easy_from) for _, episodes in saved.by_problem("sampled")
    )
    record = saved.record
    return Difficulty(record["policy"], record["env"], source, hard_below, easy_from, rated)


def check_bands(bands: Sequence[str]) -> None:
    """Raises UnknownName for a band that does not exist."""
    for band in bands:
        if band not in BANDS:
            raise UnknownName("band", band, BANDS)


def _rated(episodes: Sequence[Episode], hard_below: float, easy_from: float) -> Rated:
    sound = [episode for episode in episodes if episode.failure is None]
    right = sum(bool(episode.correct) for episode in sound)
    rate = right / len(sound) if sound else 0.0
    if not sound:
        band = "unknown"
    elif right == 0:
        band = "unsolved"
    elif rate < hard_below:
        band = "hard"
    else:
        band = "easy" if rate >= easy_from else "medium"
    return Rated(episodes[0].problem_id, len(sound), right, band)

"""How hard problems are for a policy, by how often it solves them, and which to train on.

Bands depend on the sampled rollouts of a saved evaluation. A problem that is never solved in n
tries gives no outcome reward. A problem that is rarely solved gives a large advantage to a possible
accident (arXiv:2605.28388). The bands "unsolved" and "hard" together are D_hard, where imitation
of an expert's steps helps most.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srl_agents.evaluation.folder import SavedEvaluation
from srl_agents.evaluation.statistics import pass_at_k
from srl_agents.runs.files import writing_whole
from srl_env.errors import BadOption, UnknownName

BANDS = ("unsolved", "hard", "medium", "easy", "unknown")


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Rated problems of a source, for one policy, in columns: one value for each problem.

    hard_below, easy_from: bounds of pass@1 for the bands "hard" and "easy". rollouts: those that
    did not fail; ``correct`` of them are. bands: indices into ``BANDS``.
    """

    policy: str
    env: str
    source: str
    hard_below: float
    easy_from: float
    problem_ids: Sequence[str]
    rollouts: NDArray[np.int32]
    correct: NDArray[np.int32]
    bands: NDArray[np.int8]

    @property
    def pass_rates(self) -> NDArray[np.float64]:
        """pass@1; NaN without a rollout."""
        return pass_at_k(self.rollouts, self.correct, 1)

    def of(self, bands: Iterable[str]) -> NDArray[np.bool_]:
        """Which problems are in some bands. Raises UnknownName for an unknown band."""
        wanted = set(bands)
        for band in wanted - set(BANDS):
            raise UnknownName("band", band, BANDS)
        return np.isin(self.bands, [BANDS.index(band) for band in wanted])

    def ids_of(self, bands: Iterable[str]) -> Iterator[str]:
        """The ids of the problems in some bands, in order."""
        return compress(self.problem_ids, self.of(bands))

    def write(self, path: Path, bands: Sequence[str]) -> None:
        """Writes a problem file for training: JSON with "problems", those of some bands."""
        names = ("policy", "env", "source", "hard_below", "easy_from")
        about = {name: getattr(self, name) for name in names} | {"bands": list(bands)}
        with writing_whole(path) as file:
            file.write(json.dumps(about, indent=1).removesuffix("\n}") + ',\n "problems": [')
            for number, problem in enumerate(self.ids_of(bands)):
                file.write(",\n  " if number else "\n  ")
                file.write(json.dumps(problem))
            file.write("\n ]\n}\n")


def rate(
    saved: SavedEvaluation, *, hard_below: float = 0.25, easy_from: float = 0.75
) -> Difficulty:
    """Every problem of a saved evaluation with its band. Reads small columns only.

    unsolved: never correct; hard: correct in less than ``hard_below`` of the rollouts; easy: in at
    least ``easy_from``; medium: between; unknown: every rollout failed.
    """
    if not 0 <= hard_below <= easy_from <= 1:
        raise BadOption(
            f"bands need 0 ≤ hard_below ≤ easy_from ≤ 1; got {hard_below:g} and {easy_from:g}"
        )
    block, record = saved.plan.blocks[0], saved.record
    ids, rollouts, correct = [""] * block.problems, *np.zeros((2, block.problems), np.int32)
    for columns in saved.log.columns("number", "problem", "correct", "failure"):
        for number, problem, right, failure in zip(*columns, strict=True):
            if number < len(block):  # sampled
                place = number // block.copies
                ids[place] = problem
                rollouts[place] += not failure
                correct[place] += not failure and bool(right)
    known = saved.complete[block.kind]
    rollouts, correct = rollouts[known], correct[known]
    rates = pass_at_k(rollouts, correct, 1)
    conditions = [rollouts == 0, correct == 0, rates < hard_below, rates >= easy_from]
    names = [BANDS.index(name) for name in ("unknown", "unsolved", "hard", "easy")]
    return Difficulty(
        policy=record["policy"],
        env=record["env"],
        source=saved.source,
        hard_below=hard_below,
        easy_from=easy_from,
        problem_ids=list(compress(ids, known)),
        rollouts=rollouts,
        correct=correct,
        bands=np.select(conditions, names, BANDS.index("medium")).astype(np.int8),
    )

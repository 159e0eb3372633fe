"""A second objective of a stage, on problems that are held in a buffer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from srl_agents.checked import Checked
from srl_agents.objectives.base import Objective
from srl_agents.objectives.mixed.terms import Gate
from srl_agents.objectives.nll import NLL


@dataclass(frozen=True, slots=True)
class AuxiliaryObjective(Checked):
    """What is optimised besides a stage's objective, after its update, and on which problems.

    objective: of the second step. holds: the problems that enter the buffer when a group of theirs
    was sampled: those whose episodes the verifier all rejected, "all-failed"; "any-correct"; or
    "always". held: how many problems a step takes, and by default waits for. every: a step after
    every this many updates instead, with those that are held by then.
    at: where their episodes start, as for a stage. lr: of the step; None for the stage's.
    """

    objective: Objective = NLL()  # noqa: RUF009  # frozen
    holds: Gate = "all-failed"
    held: Annotated[int, Ge(1)] = 128
    every: Annotated[int | None, Ge(1)] = None
    at: Literal["problem", "prefix"] = "prefix"
    lr: Annotated[float | None, Ge(0)] = None

    def problems(self) -> Iterator[str]:
        """What cannot work, in words."""
        for problem in self.objective.start_problems(self.at):
            yield f"auxiliary: {problem}"

    def __str__(self) -> str:
        when = f"{self.held} problems" if self.every is None else f"every {self.every} updates"
        return f"{self.objective} after {when} ({self.holds})"

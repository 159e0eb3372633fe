"""The settings of ``collect`` and of ``srl-env data collect``."""

from __future__ import annotations

from typing import Literal

from srl_agents.runs.evaluation import Count, EvaluationConfig

SAMPLING = {
    *("split", "problems", "rollouts", "temperature", "max_tokens", "max_steps", "granularity"),
    *("seed", "at_once", "parallel"),
}
"""The settings that an evaluation has too."""


class CollectConfig(EvaluationConfig):
    """What is sampled, and which solutions are kept.

    rollouts: Solutions sampled for each problem.
    keep: Which accepted solutions of a problem are kept: shortest, by the characters of its steps;
    diverse, the shortest and those least similar to the ones kept before.
    per_problem: Maximum number of solutions kept for a problem.
    splitter: Splitter that turns whole solutions (granularity solution) into steps, as in
    data convert; by default the environment's own separator of steps.
    """

    split: str = "train"
    rollouts: Count = 4
    greedy: bool = False
    keep: Literal["shortest", "diverse"] = "shortest"
    per_problem: Count = 1
    splitter: str | None = None

"""``accepts``: whether a step is acceptable after those before it, the expert's or another.

The environment decides, in ``ReasoningEnv.accepts``; by default its step checker does (``legal``).
Range: [0, 1], often only 0 and 1. Blind spots: those of the checker; and an acceptable step may
lead nowhere, as it is not compared with the expert's.
Source: PivotRL, arXiv:2603.21383, rewards locally acceptable actions in place of equal ones.
"""

from __future__ import annotations

from srl_env.errors import BadOption
from srl_env.rewards.record import StepRecord


def accepts(action: str, context: StepRecord) -> float:
    """1 for a legal step, else 0. Raises BadOption without a step checker."""
    if context.legal is None:
        raise BadOption(
            "measure 'accepts' needs an environment that checks steps; got none for problem "
            f"{context.problem.id!r}. Fix: override accepts() or legal() of the environment, or "
            "choose another measure"
        )
    return float(context.legal)

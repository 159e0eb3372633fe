"""Step measures by name, one file each: how good a step is, before the episode has ended.

A measure is a function of the action and of its context, a ``StepRecord``::

    def same_length(action: str, context: StepRecord) -> float:
        return float(len(action) == len(context.expert_action or ""))

The context has the problem, the actions before, the expert's action at this step, and whether the
step is legal. The policy wrote the action: a measure takes bounded time for any text, and never
evaluates it as code.
"""

from __future__ import annotations

from collections.abc import Mapping

from srl_env.errors import BadOption
from srl_env.named import named
from srl_env.rewards.measures.accepts import accepts
from srl_env.rewards.measures.characters import CHARACTERS
from srl_env.rewards.measures.maths import MATHS
from srl_env.rewards.measures.numbers import NUMBERS
from srl_env.rewards.measures.tokens import TOKENS
from srl_env.rewards.measures.tool_calls import tool_calls
from srl_env.rewards.record import Measure

__all__ = ["CHARACTERS", "MEASURES", "OF_TRAINING", "accepts", "find_measure"]

MEASURES: Mapping[str, Measure] = {
    "accepts": accepts,
    "characters": CHARACTERS,
    "maths": MATHS,
    "numbers": NUMBERS,
    "tokens": TOKENS,
    "tool-calls": tool_calls,
}
"""Those that every environment can use; a line here is all that a new one needs."""

OF_TRAINING = "log-likelihood"
"""The measure that ``srl_agents`` computes after a rollout, by the weights that sampled."""


def find_measure(chosen: str | Measure, own: Mapping[str, Measure] | None = None) -> Measure:
    """The measure that was chosen.

    chosen: a name of ``MEASURES``, your own as "module:function", or a function, which comes back
    as it is. own: measures that win over those of ``MEASURES``. Raises UnknownName for an unknown
    name, BadOption for anything that is no function.
    """
    own = own or {}
    if isinstance(chosen, str) and (known := own.get(chosen) or MEASURES.get(chosen)):
        return known
    found = chosen
    if chosen == OF_TRAINING:
        raise BadOption(
            f"measure {OF_TRAINING!r} needs the model that is trained, so an environment cannot "
            "compute it. Fix: set train.objective.measure of a run"
        )
    if isinstance(chosen, str):
        found = named("measure", chosen, {**MEASURES, **own})
    if isinstance(found, str) or not callable(found):
        raise BadOption(
            "a measure must be a name, as 'characters', or a function of the action and its context"
            f"; got {found!r:.80}"
        )
    return found

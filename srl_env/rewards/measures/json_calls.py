"""``tool-calls`` for tools that an environment declares: the tool first, then its arguments.

Range: {0} ∪ [0.2, 1], 1 for the same call. Blind spots: another call with the same effect scores
low, and a wrong word in a long argument hardly counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from srl_env.rewards.record import StepRecord
from srl_env.rewards.similarity import step_similarity
from srl_env.text.tool_calls import CallError
from srl_env.text.tools import Call, JsonCalls

SAME_TOOL = 0.2


@dataclass(frozen=True, slots=True)
class JsonCallMeasure:
    """The measure "tool-calls" of an environment. format: reads its calls."""

    format: JsonCalls

    def __call__(self, action: str, context: StepRecord) -> float:
        """How similar the call is to the expert's."""
        return call_similarity(self.format, action, context.expert_action or "")


def call_similarity(format: JsonCalls, action: str, expert_action: str) -> float:
    """The similarity in [0, 1]; 1 for the same call, 0 for another tool or no call.

    For the same tool: 0.2 + 0.8 × the mean over all parameters that either call has. Texts count by
    ``step_similarity``; numbers and truth values are equal or not.
    """
    if action == expert_action:
        return 1.0
    try:
        own, expert = format.read(action), format.read(expert_action)
    except CallError:
        return 0.0
    if own.tool != expert.tool:
        return 0.0
    names = {*own.arguments, *expert.arguments}
    parts = [_argument(own, expert, name) for name in names]
    return SAME_TOOL + (1.0 - SAME_TOOL) * (sum(parts) / len(parts) if parts else 1.0)


def _argument(own: Call, expert: Call, name: str) -> float:
    a, b = own.arguments.get(name), expert.arguments.get(name)
    if isinstance(a, str) and isinstance(b, str):
        return 1.0 if a == b else step_similarity(a, b)
    return float(type(a) is type(b) and a == b)

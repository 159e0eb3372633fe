"""Software-engineering tasks: tool calls, their comparison, and tasks made from repositories.

The names below are loaded when they are first used; the environment is ``srl/SWE-v0``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srl_env.swe.similarity import call_similarity
    from srl_env.text.tool_calls import CallError, ToolCall, ToolCalls, parse_call
    from srl_env.verifiers.recorded import RecordedCalls

_HOMES = {
    "srl_env.text.tool_calls": ("CallError", "ToolCall", "ToolCalls", "parse_call"),
    "srl_env.verifiers.recorded": ("RecordedCalls",),
    "srl_env.swe.similarity": ("call_similarity",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CallError",
    "RecordedCalls",
    "ToolCall",
    "ToolCalls",
    "call_similarity",
    "parse_call",
]


def __getattr__(name: str) -> Any:
    """Loads a name from the module it lives in, on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'srl_env.swe' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

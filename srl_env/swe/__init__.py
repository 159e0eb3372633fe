"""Software-engineering tasks: tool calls, their comparison, and tasks made from repositories.

The names below are loaded when they are first used; the environment is ``srl/SWE-v0``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srl_env.swe.calls import CallError, ToolCall, ToolCalls, parse_call
    from srl_env.swe.recorded import RecordedCalls
    from srl_env.swe.similarity import call_similarity

_HOMES = {
    "calls": ("CallError", "ToolCall", "ToolCalls", "parse_call"),
    "recorded": ("RecordedCalls",),
    "similarity": ("call_similarity",),
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
    value = getattr(importlib.import_module(f"srl_env.swe.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

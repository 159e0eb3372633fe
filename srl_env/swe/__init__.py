"""Software-engineering tasks: tool calls, their comparison, and tasks made from repositories.

Names are loaded when they are first used. The environment is ``srl/SWE-v0``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_env.rewards.measures.call_levels import accepts_call
    from srl_env.rewards.measures.tool_calls import call_similarity
    from srl_env.swe.builder.build import build_tasks
    from srl_env.swe.builder.options import BuildOptions
    from srl_env.swe.builder.validation import validate_tasks
    from srl_env.swe.task import Repository, SWETask
    from srl_env.swe.task_folder import TaskSet, TaskWriter
    from srl_env.text.tool_calls import CallError, ToolCall, ToolCalls, parse_call
    from srl_env.verifiers.recorded import RecordedCalls

__all__ = [
    "BuildOptions",
    "CallError",
    "RecordedCalls",
    "Repository",
    "SWETask",
    "TaskSet",
    "TaskWriter",
    "ToolCall",
    "ToolCalls",
    "accepts_call",
    "build_tasks",
    "call_similarity",
    "parse_call",
    "validate_tasks",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "srl_env.text.tool_calls": ("CallError", "ToolCall", "ToolCalls", "parse_call"),
        "srl_env.verifiers.recorded": ("RecordedCalls",),
        "srl_env.rewards.measures.call_levels": ("accepts_call",),
        "srl_env.rewards.measures.tool_calls": ("call_similarity",),
        "task": ("Repository", "SWETask"),
        "task_folder": ("TaskSet", "TaskWriter"),
        "builder.build": ("build_tasks",),
        "builder.options": ("BuildOptions",),
        "builder.validation": ("validate_tasks",),
    },
)

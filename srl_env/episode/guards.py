"""What authors of environments hear where a part or an answer is none."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from srl_env.errors import BadOption, UserError
from srl_env.problem import ProblemSource
from srl_env.text.format import CompletionFormat, ParsedStep
from srl_env.text.prompt import PromptStyle
from srl_env.text.unicode import all_utf8_safe, utf8_safe
from srl_env.verifiers.protocol import Verifier

SET_BY_INIT = frozenset(
    {"problems", "verifier", "format", "style", "show_titles", "_state", "_seed"}
)


class NotInitialised(UserError, AttributeError):
    """A subclass of ``ReasoningEnv`` that never called its constructor."""


def check_parts(
    name: str, problems: object, verifier: object, format: object, style: object
) -> None:
    """Raises ``BadOption`` where an environment is not made of what it is made of."""
    if not isinstance(problems, ProblemSource):
        raise BadOption(
            f"{name} needs a problem source; got a {type(problems).__name__}. "
            "srl_env.data.ListSource(problems) makes one of a list"
        )
    for what, part, kind, example in (
        ("verifier", verifier, Verifier, "NumericVerifier()"),
        ("format", format, CompletionFormat, "ThinkTags() or Brackets()"),
        ("style", style, PromptStyle, "PromptStyle()"),
    ):
        if isinstance(part, type) or not isinstance(part, kind):
            given = f"the class {part.__name__}" if isinstance(part, type) else repr(part)[:80]
            raise BadOption(
                f"{name}: {what} is a {kind.__name__} object, e.g. {example}; got {given}"
                f"{_lacking(part, kind)}"
            )


def _lacking(part: object, kind: type) -> str:
    """Which methods of a protocol an object does not have, as the end of a message."""
    public = [m for m in dir(kind) if not m.startswith("_")]
    missing = [m for m in public if not hasattr(part, m)]
    if isinstance(part, str | type) or len(missing) == len(public) or not missing:
        return ""
    return f", which lacks {', '.join(missing)}"


def copied_world(env: object, world: object) -> Any:
    """An independent copy of a world's state; ``BadOption`` where it cannot be copied."""
    try:
        return copy.deepcopy(world)
    except Exception as error:
        name = type(env).__name__
        raise BadOption(
            f"self.world of {name} must be data that can be copied; got {type(error).__name__}: "
            f"{error}. Fix: keep it out of self.world, or override {name}.world_state() and "
            "world_restore()"
        ) from error


def read_answer(env: object, observed: object) -> str | None:
    """What the world answered, as text that can be stored."""
    if observed is None:
        return None
    if not isinstance(observed, str):
        raise BadOption(
            f"{type(env).__name__}.world_step() returned {type(observed).__name__} "
            f"{observed!r:.80}; it returns a text, or None for no answer"
        )
    return utf8_safe(observed)


def read_step(env: Any, parsed: object) -> ParsedStep:
    """What a format read, as text that can be stored: some decode escapes of their own."""
    if not isinstance(parsed, ParsedStep):
        raise BadOption(
            f"{type(env.format).__name__}.parse() returned {type(parsed).__name__} "
            f"{parsed!r:.80}; it returns a srl_env.ParsedStep"
        )
    read = (parsed.thought, parsed.action, parsed.problem_found)
    thought, action, found = safe = all_utf8_safe(read)
    if safe == read:
        return parsed
    return replace(parsed, thought=thought, action=action, problem_found=found)


def read_legal(env: object, legal: object) -> bool | None:
    if legal is None or isinstance(legal, bool | np.bool_):
        return None if legal is None else bool(legal)
    raise BadOption(
        f"{type(env).__name__}.legal() returned {type(legal).__name__} {legal!r:.80}; it returns "
        "True, False, or None where there is no step checker"
    )

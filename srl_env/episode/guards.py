"""Checks of what authors give an environment: its parts, and what their methods return."""

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
from srl_env.verifiers.protocol import Verdict, Verifier

SET_BY_INIT = frozenset(
    {"problems", "verifier", "format", "style", "show_titles", "_state", "_seed"}
)


class NotInitialised(UserError, AttributeError):
    """A subclass of ``ReasoningEnv`` that never called its constructor."""


def check_parts(
    name: str, problems: object, verifier: object, format: object, style: object
) -> None:
    """Raises ``BadOption`` for a part of an environment that has the wrong type."""
    if not isinstance(problems, ProblemSource):
        raise BadOption(
            f"{name} needs a problem source; got a {type(problems).__name__}. "
            "Fix: srl_env.data.ListSource(problems) makes one from a list"
        )
    for what, part, kind, example in (
        ("verifier", verifier, Verifier, "NumericVerifier()"),
        ("format", format, CompletionFormat, "ThinkTags() or Brackets()"),
        ("style", style, PromptStyle, "PromptStyle()"),
    ):
        if isinstance(part, type) or not isinstance(part, kind):
            given = f"the class {part.__name__}" if isinstance(part, type) else repr(part)[:80]
            raise BadOption(
                f"{name}: {what} must be a {kind.__name__} object, e.g. {example}; got {given}"
                f"{_lacking(part, kind)}"
            )


def _lacking(part: object, kind: type) -> str:
    """Which methods of a protocol an object lacks, as the end of a message."""
    public = [m for m in dir(kind) if not m.startswith("_")]
    missing = [m for m in public if not hasattr(part, m)]
    if isinstance(part, str | type) or len(missing) == len(public) or not missing:
        return ""
    return f", which lacks {', '.join(missing)}"


def copied_world(env: object, world: object) -> Any:
    """An independent copy of a world's state; ``BadOption`` if it cannot be copied."""
    try:
        return copy.deepcopy(world)
    except Exception as error:
        name = type(env).__name__
        raise BadOption(
            f"self.world of {name} must be data that can be copied; got {type(error).__name__}: "
            f"{error}. Fix: keep it out of self.world, or override {name}.world_state() and "
            "world_restore()"
        ) from error


def wrong_return(call: str, returned: object, expected: str) -> BadOption:
    """The error for a method of an author that returned something of the wrong type."""
    return BadOption(
        f"{call} must return {expected}; got {type(returned).__name__} {returned!r:.80}"
    )


def read_answer(env: object, observed: object) -> str | None:
    """The world's answer, as text that can be stored."""
    if observed is None:
        return None
    if not isinstance(observed, str):
        raise wrong_return(f"{type(env).__name__}.world_step()", observed, "a str or None")
    return utf8_safe(observed)


def read_step(env: Any, parsed: object) -> ParsedStep:
    """A format's result, as text that can be stored: some formats decode escapes."""
    if not isinstance(parsed, ParsedStep):
        call = f"{type(env.format).__name__}.parse()"
        raise wrong_return(call, parsed, "a srl_env.ParsedStep")
    read = (parsed.thought, parsed.action, parsed.problem_found)
    if "".join(filter(None, read)).isascii():
        return parsed
    thought, action, found = all_utf8_safe(read)
    return replace(parsed, thought=thought, action=action, problem_found=found)


def read_legal(env: object, legal: object) -> bool | None:
    if legal is None or isinstance(legal, bool | np.bool_):
        return None if legal is None else bool(legal)
    raise wrong_return(f"{type(env).__name__}.legal()", legal, "True, False or None")


def read_verdict(env: Any, verdict: object) -> Verdict:
    if isinstance(verdict, Verdict):
        return verdict
    judge = f"{type(env.verifier).__name__}.verify()" if env.plain_judge else "judge()"
    raise wrong_return(
        f"{judge} of {type(env).__name__} for problem {env.problem.id!r}",
        verdict,
        "a srl_env.Verdict, e.g. Verdict(correct=True)",
    )

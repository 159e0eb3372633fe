"""How a completion is written and read: a private thought, then the action.

A format reads a policy's completion (``parse``) and writes an expert's step in the same form
(``render``). Reading never raises and takes linear time, whatever the text. For a broken format the
action is the best guess without any thinking, as the action enters the history and thinking must
not.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from srl_env.errors import BadOption
from srl_env.problem import ExpertStep

if TYPE_CHECKING:
    from srl_env.text.tool import Tool


NamedCall = tuple[str, dict[str, Any]]
"""A tool's name and the arguments."""


@dataclass(frozen=True, slots=True)
class ParsedStep:
    """A completion, read.

    thought: the private part, or None. action: what the step does. ok: whether the format was kept.
    problem_found: why not, for people; None if ok.
    """

    thought: str | None
    action: str
    ok: bool
    problem_found: str | None = None


@runtime_checkable
class CompletionFormat(Protocol):
    """How completions look."""

    @property
    def instructions(self) -> str:
        """The part of the system prompt that describes the format; "" for none."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end a step in sampling; they stay in the text (``srl_env.text.stops``).

        If a thought between think tags may come first, the format has an attribute ``thoughts``
        that is true. Then servers do not get the strings, as they would end the thought. If it has
        an attribute ``prefill``, every completion begins with that text, written for the policy. If
        it has an attribute ``max_thinking_tokens``, thoughts that are longer are closed.
        """

    def parse(self, text: str) -> ParsedStep:
        """The completion, read; never raises."""

    def render(self, step: ExpertStep) -> str:
        """An expert's step as a completion in this format."""


@runtime_checkable
class ToolFormat(CompletionFormat, Protocol):
    """A completion format whose actions are calls of declared tools."""

    @property
    def native(self) -> bool:
        """Whether tools go through the chat template of a model that has one for tools."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools."""

    @property
    def native_instructions(self) -> str:
        """What ``instructions`` is where the chat template describes the tools."""

    def call_of(self, action: str) -> NamedCall | None:
        """The call in an action; None if it is no valid call."""


OPEN, CLOSE = "<think>", "</think>"
THINK_TAGS = (
    f"draft your thinking, as casual and as long as you want, between {OPEN} and {CLOSE}. Then, "
    f"after {CLOSE}, write what belongs to the solution and nothing else."
)


def check_thinking(limit: object) -> None:
    """Raises BadOption unless the limit is a whole number of at least 1, or None."""
    if limit is not None and not (type(limit) is int and limit >= 1):
        raise BadOption(
            f"max_thinking_tokens must be a whole number of at least 1, or None; got {limit!r}"
        )


@dataclass(frozen=True, slots=True)
class ThinkTags:
    """``<think>thought</think>action``: the tags exactly once, at the start; then the action.

    require_thought: a completion without tags breaks the format; otherwise all of it is the action.
    one_line: the action is one line, so a step ends with the first line after the thought.
    prefill: the beginning of every completion, written for the policy, such as "<think>\\n".
    max_thinking_tokens: a thought that is still open after so many tokens is closed for the policy;
    None for no limit.
    Source: SRL, arXiv:2510.25992, section 3 (r = −1 for a broken format).
    """

    require_thought: bool = True
    one_line: bool = False
    prefill: str = ""
    max_thinking_tokens: int | None = None

    def __post_init__(self) -> None:
        check_thinking(self.max_thinking_tokens)
        if self.prefill and not self.prefill.startswith(OPEN):
            raise BadOption(f"prefill must start with {OPEN}, or be empty; got {self.prefill!r}")

    @property
    def instructions(self) -> str:
        """The format in words."""
        return f"First {THINK_TAGS}" if self.require_thought else f"If it helps, first {THINK_TAGS}"

    @property
    def stop(self) -> tuple[str, ...]:
        """The end of the action's line; none if the model ends a step."""
        return ("\n",) if self.one_line else ()

    @property
    def thoughts(self) -> bool:
        """True: a thought may come first."""
        return True

    def parse(self, text: str) -> ParsedStep:
        """The text between the tags, and the text after them, both stripped."""
        body = text.strip()
        found = self._fault(body)
        if found is not None:
            return ParsedStep(None, without_thinking(body), False, found)
        if not body.startswith(OPEN):
            return ParsedStep(None, body, True)
        thought, _, action = body[len(OPEN) :].partition(CLOSE)
        return ParsedStep(thought.strip(), action.strip(), True)

    def render(self, step: ExpertStep) -> str:
        """The thought, possibly empty, between tags; the action on the next line."""
        if step.thought is None and not self.require_thought:
            return step.action
        return f"{OPEN}{step.thought or ''}{CLOSE}\n{step.action}"

    def _fault(self, body: str) -> str | None:
        opened, closed = body.count(OPEN), body.count(CLOSE)
        if opened == closed == 0 and not self.require_thought:
            return None if body else "the action is empty"
        if opened != 1 or closed != 1:
            return f"{OPEN} and {CLOSE} must occur once each; found {opened} and {closed}"
        if not body.startswith(OPEN):
            return f"the completion must start with {OPEN}"
        return "the action is empty" if body.endswith(CLOSE) else None


def without_thinking(body: str) -> str:
    """The text after the last closing tag, up to the next opening tag."""
    return body.rpartition(CLOSE)[2].partition(OPEN)[0].strip()


@dataclass(frozen=True, slots=True)
class Brackets:
    """``(thought)action;``, a compact form for small models trained from scratch.

    The thought and its brackets are optional; brackets inside the thought must pair up. The action
    is not empty and ends with the semicolon, which is part of it.
    """

    @property
    def instructions(self) -> str:
        """Nothing: such models learn the format from examples."""
        return ""

    @property
    def stop(self) -> tuple[str, ...]:
        """The semicolon."""
        return (";",)

    def parse(self, text: str) -> ParsedStep:
        """The text between the outer brackets, and the text after them, stripped."""
        body = text.strip()
        if body.startswith(OPEN):
            _warn_of_think_tags()
            return ParsedStep(None, without_thinking(body), False, _THINK_IN_BRACKETS)
        end = _closing_bracket(body) if body.startswith("(") else -1
        if end is None:
            return ParsedStep(None, "", False, "the bracket of the thought is never closed")
        thought, action = (body[1:end] if end > 0 else None), body[end + 1 :].strip()
        found = _fault_of_action(action)
        return ParsedStep(thought, action, found is None, found)

    def render(self, step: ExpertStep) -> str:
        """The thought in brackets, if there is one, then the action."""
        return step.action if step.thought is None else f"({step.thought}){step.action}"


_THINK_IN_BRACKETS = (
    f"Brackets reads a thought in round brackets, (thought)action; got {OPEN}. Fix: "
    "format=ThinkTags() for models that think in tags"
)


@cache
def _warn_of_think_tags() -> None:
    """Logs the mistake once in a process, as such a model never keeps the format."""
    logging.getLogger(__name__).warning(_THINK_IN_BRACKETS)


def _closing_bracket(body: str) -> int | None:
    depth = 0
    for match in re.finditer(r"[()]", body):
        depth += 1 if match.group() == "(" else -1
        if depth == 0:
            return match.start()
    return None


def _fault_of_action(action: str) -> str | None:
    if not action.strip("; \t\r\n"):
        return "the action is empty"
    return None if action.endswith(";") else "the action must end with ';'"

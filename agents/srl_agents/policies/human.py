"""A human at the terminal as a policy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from srl_env.errors import UserError
from srl_env.policy import Generation, Sampling
from srl_env.problem import ExpertStep
from srl_env.text.format import CompletionFormat
from srl_env.text.prompt import Messages
from srl_env.text.unicode import escaped


class InputEnded(UserError):
    """The input was closed before an action was given."""


class HumanPolicy:
    """Shows the messages and reads an action of one or more lines.

    An empty line ends the action, or the end of the input (Ctrl-D) after some text. Messages of
    earlier steps are not shown again.
    """

    def __init__(
        self,
        *,
        format: CompletionFormat | None = None,
        source: TextIO | None = None,
        screen: TextIO | None = None,
    ) -> None:
        """format: writes the typed text as a completion; None takes it as typed.

        source, screen: where to read and write; None is the terminal.
        """
        self._format = format
        self._source, self._screen = source, screen
        self._shown: list[str] = []

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        """The typed text for each list of messages; InputEnded if nothing can be read."""
        return [Generation(self._ask(messages)) for messages in batch]

    def _ask(self, messages: Messages) -> str:
        self._show(messages)
        text = self._read()
        return text if self._format is None else self._format.render(ExpertStep(text))

    def _show(self, messages: Messages) -> None:
        lines = [f"[{message['role']}]\n{escaped(message['content'])}\n" for message in messages]
        known = len(self._shown) if lines[: len(self._shown)] == self._shown else 0
        screen = self._screen or sys.stdout
        screen.write("\n".join(["", *lines[known:], "Your action (an empty line ends it):", "> "]))
        screen.flush()
        self._shown = lines

    def _read(self) -> str:
        """The lines up to an empty one after some text."""
        lines: list[str] = []
        source = self._source or sys.stdin
        while line := source.readline():
            if line.strip():
                lines.append(line.rstrip("\n"))
            elif lines:
                break
        if not lines:
            raise InputEnded(
                "the input ended before an action was typed; the episode is unfinished"
            )
        return "\n".join(lines)

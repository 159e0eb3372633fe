"""How a command in a session ended, and its output as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from srl_env.text.unicode import escaped

Ended = Literal["exited", "timeout", "memory", "processes", "sockets", "output"]

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended, and what it wrote.

    ended: "exited", or the limit that ended it. status: exit code, negative for a signal.
    output: standard output and error as they came, without the middle above
    `Limits.output_keep_bytes`; output_bytes: how much there was.
    report: what was written to descriptor 3, where asked for, likewise without its middle.
    """

    ended: Ended
    status: int
    output: bytes
    output_bytes: int
    report: bytes
    wall_s: float

    @property
    def ok(self) -> bool:
        """Whether the command exited by itself with status 0."""
        return self.ended == "exited" and self.status == 0

    def text(self) -> str:
        """The output for people and models: valid Unicode, no terminal controls, gap marked."""
        left_out = self.output_bytes - len(self.output)
        if left_out <= 0:
            return printable(self.output)
        half = len(self.output) // 2
        gap = f"\n[... {left_out} bytes left out ...]\n"
        return printable(self.output[:half]) + gap + printable(self.output[half:])


def printable(data: bytes) -> str:
    """Bytes as text for a model or a terminal: ``escaped``, without terminal sequences."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return escaped(_ANSI.sub("", text))

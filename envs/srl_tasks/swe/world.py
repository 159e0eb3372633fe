"""The world of an episode: a task's session with its tools, and the time spent in them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from srl_env.sandbox import Session, Snapshot
from srl_env.swe.tools import BenchState, Workbench
from srl_env.text.tool_calls import CallError, parse_call


@dataclass(frozen=True, slots=True)
class WorldState:
    """A world between two steps: the task, the seconds spent in commands, and the workbench."""

    task: str
    spent_s: float
    bench: BenchState


class World:
    """A task's session with its tools, and how long they ran."""

    def __init__(
        self, task: str, session: Session, command_timeout_s: float, spent_s: float = 0.0
    ) -> None:
        self.task, self.spent_s = task, spent_s
        self.bench = Workbench(session, timeout_s=command_timeout_s)
        self._last: BenchState | None = None  # at the end of the episode

    def take(self, action: str) -> str:
        """The observation of one action; of an invalid call, what is wrong with it."""
        try:
            call = parse_call(action)
        except CallError as error:
            return str(error)
        began = time.monotonic()
        try:
            return self.bench.call(call)
        finally:
            self.spent_s += time.monotonic() - began

    def state(self) -> WorldState:
        """The state now, or at the end of the episode."""
        return WorldState(self.task, self.spent_s, self._last or self.bench.snapshot())

    def end(self) -> Snapshot | None:
        """Closes the session; returns its workspace, None for one that is too large."""
        if self._last is None:
            self._last = self.bench.last()
        self.close()
        return self._last.workspace

    def close(self) -> None:
        """Ends the session."""
        self.bench.session.close()

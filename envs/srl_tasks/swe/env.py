"""The environment ``srl/SWE-v0``."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from srl_env.environment import ReasoningEnv
from srl_env.episode.options import GRANULARITIES
from srl_env.errors import BadOption, SandboxDied, WorldFailure
from srl_env.grading import faulty, grade, warm_judges
from srl_env.problem import Problem
from srl_env.rewards import step_similarity
from srl_env.sandbox import Sandbox, Session, Snapshot, open_sandbox
from srl_env.seconds import check_seconds
from srl_env.swe.similarity import call_similarity
from srl_env.swe.tools import Bench, Workbench
from srl_env.swe.workspace import open_workspace
from srl_env.text.prompt import PromptStyle
from srl_env.text.tool_calls import CallError, ToolCalls, parse_call
from srl_env.verifiers import Verdict
from srl_env.verifiers.recorded import RecordedCalls
from srl_env.verifiers.responsibility import PolicyFault, tried_twice
from srl_tasks.swe.problems import SHIPPED, Split, TaskProblems
from srl_tasks.swe.replays import Replays

TASK = (
    "You are an engineer who mends a fault in a Python repository. You are shown the report of "
    "the fault, and what you did last with what came of it."
)
TIMEOUTS_IN_A_ROW: Final = 3
_REPLAYS: Final = Replays()


class SWEEnv(ReasoningEnv):
    """Mend a fault in a repository by shell and editor; hidden tests and calls decide.

    **Task.** A small Python library has one to three faults. The report tells what happens and
    what should. More tasks: ``srl-env swe build`` makes them from any repository with tests.

    **Observation.** The report, then the last ``context_turns`` actions with what came of them
    (None: all), as in SRL's software tasks (arXiv:2510.25992, section 4). Output is cut in the
    middle above 10,000 characters.

    **Action.** Thinking, then one call of ``bash``, ``str_replace_editor`` (view, create,
    str_replace, insert, undo_edit) or ``submit``, in any form that ``srl_env.text.tool_calls``
    reads. What is no call, or a wrong one, is answered by what to do, and is −1 in mode "srl".
    A command ends after ``command_timeout_s``. There are no whole solutions: granularity is
    "step".

    **Expert.** Reproduces the fault, searches, views, edits, runs the tests, submits. Every step
    was executed when the task was made, and its answer recorded.

    **Reward.** Mode "srl": how much the call means what the expert's does (``similarity="calls"``,
    see ``srl_env.swe.similarity``; "string" compares the texts). "rlvr": 1 if the task is
    resolved at the end. "hybrid" mixes both.

    **Worlds.** Under continuation "policy" the calls are executed in a sandbox
    (``srl_env.sandbox``; ``sandbox``, ``allow_weak`` and ``image`` choose it), and ``start_step``
    really executes the expert's first steps. Under "expert", mode "srl"'s default, nothing is
    executed and no sandbox is needed: the answers are those recorded.

    **Episode end.** ``submit``; three commands in a row that ran into their time limit;
    ``episode_timeout_s`` spent in commands; cut off after ``max_steps``. However it ends, the
    workspace is then graded (``srl_env.grading``): the session is closed, its changes are put
    on a fresh tree in a fresh session, and the hidden tests and calls are run.

    **Info.** That of ``ReasoningEnv``. ``world``: the sandbox in use and its isolation.
    ``verdict``: ``correct``, and all of ``srl_env.grading.Grade.to_info``; where nothing was
    executed, whether all calls are the expert's (``same_calls``). A sandbox that fails is a
    ``failure``, never a reward; a workspace or a call that makes it fail is a wrong answer with
    ``policy_fault`` (``srl_env.verifiers.responsibility``).

    **Data.** ``path``: a folder of tasks; by default those that ship. ``split``: "train", "dev",
    "test" or "all"; ``repos``: only these; ``max_difficulty``: in [0, 1].

    **Versions.** v0: first.
    """

    granularities = GRANULARITIES[:1]
    slow_world = True
    offline_kwargs: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        split: Split = "train",
        repos: Sequence[str] | None = None,
        max_difficulty: float = 1.0,
        context_turns: int | None = 2,
        similarity: Literal["calls", "string"] = "calls",
        sandbox: str | None = None,
        allow_weak: bool = False,
        image: str | None = None,
        command_timeout_s: float = 30.0,
        episode_timeout_s: float = 600.0,
        **options: Any,
    ) -> None:
        """options: those of ``ReasoningEnv``; max_steps is 30 unless it says otherwise."""
        check_seconds("command_timeout_s", command_timeout_s)
        check_seconds("episode_timeout_s", episode_timeout_s)
        if similarity not in _SIMILARITIES:
            raise BadOption(f"similarity is 'calls' or 'string'; got {similarity!r}")
        problems = TaskProblems(
            SHIPPED if path is None else path,
            split=split,
            repos=repos,
            max_difficulty=max_difficulty,
        )
        self.task_set, self.replays = problems.tasks, _REPLAYS
        self.sandbox_choice = (sandbox, allow_weak, image)
        self._command_s, self._episode_s = command_timeout_s, episode_timeout_s
        self._world: _World | None = None
        own: dict[str, Any] = {
            "format": ToolCalls(),
            "style": PromptStyle(
                step_task=TASK, problem="Report:\n{problem}", last_turns=context_turns
            ),
            "similarity": _SIMILARITIES[similarity],
            "max_steps": 30,
            "world_timeout_s": None,  # commands have limits of their own
        }
        super().__init__(problems, RecordedCalls(), **own | options)

    def world_reset(self, problem: Problem) -> None:
        """Starts a session on the task's tree."""
        self.close()
        self._world = self._open(problem.id)

    def world_step(self, action: str) -> str:
        """Runs a call."""
        return self._live().take(action)

    def world_replay(self, actions: Sequence[str]) -> Sequence[str]:
        """The expert's first calls: executed once in this process, then put in place."""
        if not actions:
            return ()
        return self.replays.replay(self._world_key(), actions, self._live())

    def world_info(self) -> Mapping[str, Any]:
        """The sandbox in use and how much it holds back."""
        sandbox = self._sandbox()
        return {"sandbox": sandbox.name, "isolation": sandbox.isolation}

    def world_state(self) -> WorldState:
        """The task and its workspace."""
        world = self._live()
        return WorldState(world.task, world.spent_s, world.keep())

    def world_restore(self, state: WorldState) -> None:
        """A session on that task's tree, its workspace as it was."""
        self.close()
        self._world = self._open(state.task, state.spent_s)
        self._world.put(state.bench)

    def is_final(self, action: str) -> bool:
        """Whether the work was handed in, or a time limit ended it."""
        world = self._live()
        return (
            world.bench.submitted
            or world.bench.timeouts >= TIMEOUTS_IN_A_ROW
            or world.spent_s >= self._episode_s
        )

    def judge(self, actions: Sequence[str]) -> Verdict:
        """Grades the workspace; where nothing was executed, compares with the record."""
        if not self._current().world_live:
            return self.verifier.verify(self.problem, actions)
        sandbox, task = self._sandbox(), self.task_set.task(self._live().task)
        graded = self.task_set.grading_task(task)
        try:
            workspace = tried_twice(
                lambda: self._live().end(),
                lambda: self._repeated(()).end(),
                again=lambda: self._repeated(actions).end(),
                kinds=(SandboxDied,),
            )
            result = grade(sandbox, graded, workspace)
        except PolicyFault as fault:
            result = faulty(sandbox, graded, str(fault))
        return Verdict(result.resolved, None, result.to_info())

    def close(self) -> None:
        """Ends the session; the sandbox itself serves the process's other environments."""
        if self._world is not None:
            self._world.close()
        self._world = None

    def _live(self) -> _World:
        if self._world is None:
            raise WorldFailure("the environment was closed in the middle of an episode")
        return self._world

    def _repeated(self, actions: Sequence[str]) -> _World:
        """A new world in which an episode's actions were taken."""
        self.world_reset(self.problem)
        for action in actions:
            self._live().take(action)
        return self._live()

    def _world_key(self) -> str:
        return f"{self.task_set.folder}\0{self._live().task}\0{self.sandbox_choice}"

    def _open(self, task_id: str, spent_s: float = 0.0) -> _World:
        task = self.task_set.task(task_id)
        tree = self.task_set.tree(task)
        session = open_workspace(self._sandbox(), tree, task.repository)
        return _World(task_id, session, Workbench(session, timeout_s=self._command_s), spent_s)

    def _sandbox(self) -> Sandbox:
        return shared_sandbox(os.getpid(), *self.sandbox_choice)


@dataclass(frozen=True, slots=True)
class WorldState:
    """A world between two steps: the task, the seconds spent in commands, and the workspace."""

    task: str
    spent_s: float
    bench: Bench


class _World:
    """A task's session with its tools, and how long they ran."""

    def __init__(self, task: str, session: Session, bench: Workbench, spent_s: float = 0.0) -> None:
        self.task, self.bench, self.spent_s = task, bench, spent_s
        self._session = session
        self._last: Bench | None = None  # what was left at the episode's end

    def take(self, action: str) -> str:
        try:
            call = parse_call(action)
        except CallError as error:
            return str(error)
        began = time.monotonic()
        try:
            return self.bench.call(call)
        finally:
            self.spent_s += time.monotonic() - began

    def keep(self) -> Bench:
        return self._last if self._last is not None else self.bench.snapshot()

    def put(self, bench: Bench) -> None:
        """The workspace is fresh, so that its changes need only be made."""
        if bench.workspace is not None:
            try:
                self._session.apply(bench.workspace)
            except OSError as error:
                raise SandboxDied(f"the workspace cannot be put in place: {error}") from error
        self.bench.adopt(bench)

    def end(self) -> Snapshot | None:
        """Closes the session; returns what it left in the workspace, None if that is too large."""
        if self._last is None:
            self._last = self.bench.last()
        self.close()
        return self._last.workspace

    def close(self) -> None:
        self._session.close()


_SIMILARITIES: Final = {"calls": call_similarity, "string": step_similarity}
_OPENING: Final = threading.Lock()


def shared_sandbox(
    process_id: int, backend: str | None, allow_weak: bool, image: str | None
) -> Sandbox:
    """The sandbox of a process's environments, opened when the first needs it.

    Raises ``SandboxUnavailable``, which says what is missing.
    """
    with _OPENING:
        return _opened(process_id, backend, allow_weak, image)


@functools.lru_cache(maxsize=8)
def _opened(process_id: int, backend: str | None, allow_weak: bool, image: str | None) -> Sandbox:
    return open_sandbox(backend, allow_weak=allow_weak, image=image, preload=warm_judges())

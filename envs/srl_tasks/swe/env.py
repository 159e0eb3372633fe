"""The environment ``srl/SWE-v0``."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from srl_env.environment import ReasoningEnv
from srl_env.episode.options import GRANULARITIES
from srl_env.errors import SandboxDied, WorldFailure
from srl_env.grading import fault_grade, grade, warm_judges
from srl_env.problem import Problem
from srl_env.rewards import Measure, StepRecord
from srl_env.rewards.measures.call_levels import accepts_call, accepts_target, accepts_tool
from srl_env.sandbox import Sandbox, open_sandbox
from srl_env.seconds import check_seconds
from srl_env.swe.workspace import open_workspace
from srl_env.text.prompt import PromptStyle
from srl_env.text.tool_calls import ToolCalls
from srl_env.verifiers import Verdict
from srl_env.verifiers.recorded import RecordedCalls
from srl_env.verifiers.responsibility import PolicyFault, tried_twice
from srl_tasks.swe.problems import SHIPPED, Split, TaskProblems
from srl_tasks.swe.replays import Replays
from srl_tasks.swe.world import World, WorldState

TASK = (
    "You are an engineer who fixes a bug in a Python repository. You are shown the report of the "
    "bug, and your last actions with their results."
)
TIMEOUTS_IN_A_ROW: Final = 3
_REPLAYS: Final = Replays()


class SWEEnv(ReasoningEnv):
    """Fix a bug in a repository with a shell and an editor; hidden tests and calls decide.

    **Task.** A small Python library has one to three bugs. The report says what happens and what
    should happen. ``srl-env swe build`` makes more tasks from any repository with tests.

    **Observation.** The report, then all actions with their results. Where these are longer than
    ``context_characters``, the oldest results are left out. ``context_turns=2`` shows the last two
    actions only, as SRL's software tasks do (arXiv:2510.25992, section 4). Output above 10,000
    characters is truncated in the middle.

    **Action.** Thinking, then one call of ``bash``, ``str_replace_editor`` (view, create,
    str_replace, insert, undo_edit) or ``submit``, in any form that ``srl_env.text.tool_calls``
    reads. An invalid call is answered by what to do, and its reward is −1 in mode "srl".
    A command ends after ``command_timeout_s``. There are no whole solutions: granularity is
    "step".

    **Expert.** It reproduces the bug, searches, views, edits, runs the tests and submits. Every
    step was executed when the task was made, and its result recorded.

    **Reward.** Mode "srl": the similarity of the call to the expert's (``measure="tool-calls"``,
    see ``srl_env.rewards.measures.tool_calls``; "accepts", "accepts-target" and "accepts-tool", see
    ``call_levels`` there; "characters" compares the texts). "rlvr": 1 if the task is resolved at
    the end. "hybrid" mixes both.

    **Worlds.** Under continuation "policy", calls are executed in a sandbox (``srl_env.sandbox``;
    ``sandbox``, ``allow_weak`` and ``image`` choose it). ``start_step`` executes the expert's first
    steps. Under "expert", mode "srl"'s default, results are the recorded ones: nothing is executed
    and no sandbox is needed.

    **Episode end.** ``submit``; three commands in a row that run out of time;
    ``episode_timeout_s`` spent in commands; truncated after ``max_steps``. Every end is graded
    (``srl_env.grading``): the session is closed, its changes are applied to a fresh tree in a fresh
    session, and the hidden tests and calls run there.

    **Info.** That of ``ReasoningEnv``. ``world``: the sandbox and its isolation. ``verdict``:
    ``correct`` and all of ``srl_env.grading.Grade.to_info``; where nothing was executed, how many
    calls are the expert's (``same_calls``). A sandbox that fails is a ``failure``, never a reward.
    A workspace or a call that makes it fail is a wrong answer with ``policy_fault``
    (``srl_env.verifiers.responsibility``).

    **Data.** ``path``: a folder of tasks; by default those that ship. ``split``: "train", "dev",
    "test" or "all". ``repos``: only these repositories. ``max_difficulty``: in [0, 1].

    **Versions.** v0: first.
    """

    granularities = GRANULARITIES[:1]
    slow_world = True
    measure = "tool-calls"
    measures: ClassVar[Mapping[str, Measure]] = {
        "accepts-tool": accepts_tool,
        "accepts-target": accepts_target,
    }
    offline_kwargs: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        split: Split = "train",
        repos: Sequence[str] | None = None,
        max_difficulty: float = 1.0,
        context_turns: int | None = None,
        context_characters: int | None = 100_000,
        sandbox: str | None = None,
        allow_weak: bool = False,
        image: str | None = None,
        command_timeout_s: float = 30.0,
        episode_timeout_s: float = 600.0,
        **options: Any,
    ) -> None:
        """options: those of ``ReasoningEnv``; the default of max_steps is 30."""
        check_seconds("command_timeout_s", command_timeout_s)
        check_seconds("episode_timeout_s", episode_timeout_s)
        problems = TaskProblems(
            SHIPPED if path is None else path,
            split=split,
            repos=repos,
            max_difficulty=max_difficulty,
        )
        self.task_set, self.replays = problems.tasks, _REPLAYS
        self.sandbox_choice = (sandbox, allow_weak, image)
        self._command_s, self._episode_s = command_timeout_s, episode_timeout_s
        self._world: World | None = None
        own: dict[str, Any] = {
            "format": ToolCalls(),
            "style": PromptStyle(
                step_task=TASK,
                problem="Report:\n{problem}",
                last_turns=context_turns,
                most_characters=context_characters,
            ),
            "max_steps": 30,
            "world_timeout_s": None,  # commands have limits of their own
        }
        super().__init__(problems, RecordedCalls(), **own | options)

    def accepts(self, action: str, context: StepRecord) -> float:
        """How acceptable a call is in place of the expert's (``srl_env.swe.accepts_call``)."""
        return accepts_call(action, context)

    def world_reset(self, problem: Problem) -> None:
        """Starts a session on the task's tree."""
        self.close()
        self._world = self._open(problem.id)

    def world_step(self, action: str) -> str:
        """Runs a call."""
        return self._live().take(action)

    def world_replay(self, actions: Sequence[str]) -> Sequence[str]:
        """The expert's first calls: executed once in this process, then restored."""
        if not actions:
            return ()
        key = f"{self.task_set.folder}\0{self._live().task}\0{self.sandbox_choice}"
        return self.replays.replay(key, actions, self._live())

    def world_info(self) -> Mapping[str, Any]:
        """The sandbox in use and its isolation."""
        sandbox = self._sandbox()
        return {"sandbox": sandbox.name, "isolation": sandbox.isolation}

    def world_state(self) -> WorldState:
        """The task and its workspace."""
        return self._live().state()

    def world_restore(self, state: WorldState) -> None:
        """A session on that task's tree, with the workspace of that state."""
        self.close()
        self._world = self._open(state.task, state.spent_s)
        self._world.bench.apply(state.bench)

    def is_final(self, action: str) -> bool:
        """Whether the work was handed in, or a time limit ended it."""
        world = self._live()
        return (
            world.bench.state.submitted
            or world.bench.state.timeouts >= TIMEOUTS_IN_A_ROW
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
            result = fault_grade(sandbox, graded, str(fault))
        return Verdict(result.resolved, None, result.to_info())

    def close(self) -> None:
        """Ends the session; other environments of the process keep the sandbox."""
        if self._world is not None:
            self._world.close()
        self._world = None

    def _live(self) -> World:
        if self._world is None:
            raise WorldFailure("the environment was closed during an episode")
        return self._world

    def _repeated(self, actions: Sequence[str]) -> World:
        """A new world in which an episode's actions were taken."""
        self.world_reset(self.problem)
        for action in actions:
            self._live().take(action)
        return self._live()

    def _open(self, task_id: str, spent_s: float = 0.0) -> World:
        task = self.task_set.task(task_id)
        session = open_workspace(self._sandbox(), self.task_set.tree(task), task.repository)
        return World(task_id, session, self._command_s, spent_s)

    def _sandbox(self) -> Sandbox:
        return shared_sandbox(os.getpid(), *self.sandbox_choice)


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

"""The verdict on an episode's workspace."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from srl_env.errors import SandboxDied
from srl_env.grading.controls import run_controls
from srl_env.grading.diff import unified_diff
from srl_env.grading.patch import Dropped, Patch, filter_changes
from srl_env.grading.runs import CannotApplyError, run_cases, run_tests
from srl_env.grading.task import GradingTask, Trust
from srl_env.sandbox import Sandbox, Snapshot
from srl_env.text.unicode import escaped
from srl_env.verifiers.responsibility import POLICY_FAULT, PolicyFault, tried_twice

MOST_SHOWN: Final = 100
NO_PATCH: Final = Patch(Snapshot((), ()), ())
_MOST_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class Grade:
    """Whether a task is solved, on what grounds, and how far that can be trusted.

    fail_to_pass, pass_to_pass, cases: whether each held, by id. Tests are False too where they
    were not run because an oracle case failed first; cases are absent where none were made.
    tamper: what was odd about the run; `clean` where nothing was. dropped: what the filter dropped.
    trust: the level that `resolved` relies on. backend: the sandbox it was run in.
    policy_fault: why the change is responsible for a failure of grading, "" where it is not.
    diff: what was graded, as a unified diff of at most 20,000 characters.
    """

    resolved: bool
    fail_to_pass: dict[str, bool]
    pass_to_pass: dict[str, bool]
    cases: dict[str, bool]
    tamper: tuple[str, ...]
    trust: Trust
    backend: str
    dropped: tuple[Dropped, ...] = ()
    output: str = field(default="", repr=False)
    policy_fault: str = ""
    diff: str = field(default="", repr=False)

    @property
    def clean(self) -> bool:
        """Whether nothing about the run was odd."""
        return not self.tamper

    def to_info(self) -> dict[str, Any]:
        """The grade as JSON data for `info["verdict"]`, in valid Unicode.

        Without the tests' output, and with the first MOST_SHOWN of the dropped changes.
        """
        fault = {POLICY_FAULT: self.policy_fault} if self.policy_fault else {}
        return {
            "resolved": self.resolved,
            "fail_to_pass": dict(self.fail_to_pass),
            "pass_to_pass": dict(self.pass_to_pass),
            "cases": dict(self.cases),
            "clean": self.clean,
            "tamper": [_shortened(reason) for reason in self.tamper],
            "dropped": [
                {"path": _shortened(item.path), "reason": item.reason}
                for item in self.dropped[:MOST_SHOWN]
            ],
            "dropped_count": len(self.dropped),
            "trust": self.trust,
            "backend": self.backend,
            "diff": self.diff,
            **fault,
        }


def grade(sandbox: Sandbox, task: GradingTask, snapshot: Snapshot | None) -> Grade:
    """The verdict on a workspace, given as the snapshot its session ended with.

    snapshot: None where the workspace was too large for one, which is not resolved.
    Close the episode's session first. A sandbox that dies is tried again, and if it dies again,
    with the unchanged tree. If that can be graded, the change is responsible
    (`Grade.policy_fault`) and not resolved. Else, and where no session can be started,
    SandboxFailure is raised: that is no verdict, and the sample must be masked.
    """
    patch = replace(NO_PATCH, too_large=True)
    if snapshot is not None:
        patch = filter_changes(
            snapshot,
            allowed=task.allowed,
            python_path=task.python_path,
            own=task.own_modules,
            tests=task.test_files,
        )
    if patch.too_large:
        return _grade(sandbox, task, patch, tamper=["the change is too large"])
    attempt, control = partial(_judged, sandbox, task, patch), partial(_control, sandbox, task)
    try:
        return tried_twice(attempt, control, kinds=(SandboxDied,))
    except PolicyFault as fault:
        return fault_grade(sandbox, task, str(fault), patch)


def fault_grade(sandbox: Sandbox, task: GradingTask, reason: str, patch: Patch = NO_PATCH) -> Grade:
    """The grade where the policy is responsible for a failure: not resolved."""
    result = _grade(sandbox, task, patch, tamper=[reason])
    return replace(result, policy_fault=_shortened(reason))


def _control(sandbox: Sandbox, task: GradingTask) -> None:
    """Grades the unchanged tree; raises SandboxFailure where that fails."""
    if task.trust == "oracle":
        run_cases(sandbox, task, NO_PATCH.kept)
    if task.tests:
        run_tests(sandbox, task, NO_PATCH.kept, task.hidden)


def _judged(sandbox: Sandbox, task: GradingTask, patch: Patch) -> Grade:
    grade_with = partial(_grade, sandbox, task, patch)
    cases: dict[str, bool] = {}
    try:
        if task.trust == "oracle":
            cases = run_cases(sandbox, task, patch.kept)
        if not task.tests or not all(cases.values()):
            return grade_with(cases=cases)
        run = run_tests(sandbox, task, patch.kept, task.hidden)
        tamper = [run.unclean] if run.unclean else []
        if task.trust == "controlled" and not tamper and all(run.passed.values()):
            tamper = run_controls(sandbox, task, patch.kept, random.SystemRandom())
        return grade_with(passed=dict(run.passed), cases=cases, tamper=tamper, output=run.output)
    except CannotApplyError as error:
        return grade_with(cases=cases, tamper=[f"the change cannot be put on the tree: {error}"])


def _grade(
    sandbox: Sandbox,
    task: GradingTask,
    patch: Patch,
    *,
    passed: dict[str, bool] | None = None,
    cases: dict[str, bool] | None = None,
    tamper: list[str] | None = None,
    output: str = "",
) -> Grade:
    passed, cases = passed or {}, cases or {}
    held = all(passed.get(test, False) for test in task.tests)
    if task.trust == "oracle":
        held = held and len(cases) == len(task.cases) and all(cases.values())
    return Grade(
        resolved=held and not tamper,
        fail_to_pass={test: passed.get(test, False) for test in task.fail_to_pass},
        pass_to_pass={test: passed.get(test, False) for test in task.pass_to_pass},
        cases=cases,
        tamper=tuple(tamper or ()),
        trust=task.trust,
        backend=sandbox.name,
        dropped=patch.dropped,
        output=output,
        diff=unified_diff(task.tree, patch.kept),
    )


def _shortened(text: str) -> str:
    """A text that code under test may have made, as it can be stored: short, in valid Unicode."""
    return escaped(text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…")

"""The verdict on an episode's workspace."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from srl_env.errors import SandboxDied
from srl_env.grading.controls import run_controls
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

    fail_to_pass, pass_to_pass, cases: whether each held, by id; tests are False too where they
    were not run because the oracle had refused already, cases are absent where none were made.
    clean: nothing about the run was odd; tamper: what was, and what the filter dropped.
    trust: the level `resolved` stands on. backend: the sandbox it was run in.
    policy_fault: why the change is responsible for a failure of grading, "" where it is not.
    """

    resolved: bool
    fail_to_pass: dict[str, bool]
    pass_to_pass: dict[str, bool]
    cases: dict[str, bool]
    clean: bool
    tamper: tuple[str, ...]
    trust: Trust
    backend: str
    dropped: tuple[Dropped, ...] = ()
    output: str = field(default="", repr=False)
    policy_fault: str = ""

    def to_info(self) -> dict[str, Any]:
        """The grade as JSON data for `info["verdict"]`, in valid Unicode.

        The tests' output is left out, and of what was dropped all but the first MOST_SHOWN.
        """
        fault = {POLICY_FAULT: self.policy_fault} if self.policy_fault else {}
        return {
            "resolved": self.resolved,
            "fail_to_pass": dict(self.fail_to_pass),
            "pass_to_pass": dict(self.pass_to_pass),
            "cases": dict(self.cases),
            "clean": self.clean,
            "tamper": [_shown(reason) for reason in self.tamper],
            "dropped": [
                {"path": _shown(item.path), "reason": item.reason}
                for item in self.dropped[:MOST_SHOWN]
            ],
            "dropped_count": len(self.dropped),
            "trust": self.trust,
            "backend": self.backend,
            **fault,
        }


def grade(sandbox: Sandbox, task: GradingTask, snapshot: Snapshot | None) -> Grade:
    """The verdict on a workspace, given as the snapshot its session ended with.

    snapshot: None where the workspace had grown too large for one, which is not resolved.
    The episode's session must be closed before. A sandbox that dies is tried again, and if it dies
    again, with the unchanged tree. If that can be graded, the change is responsible
    (`Grade.policy_fault`) and not resolved. Else, and where no session can be started,
    SandboxFailure is raised: that is no verdict, and the sample must be left out.
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
        return _grade(sandbox, task, patch, {}, {}, ["the change is too large"], "")
    attempt, control = partial(_judged, sandbox, task, patch), partial(_control, sandbox, task)
    try:
        return tried_twice(attempt, control, kinds=(SandboxDied,))
    except PolicyFault as fault:
        return fault_grade(sandbox, task, str(fault), patch)


def fault_grade(sandbox: Sandbox, task: GradingTask, reason: str, patch: Patch = NO_PATCH) -> Grade:
    """The grade where the policy is responsible for a failure: not resolved."""
    result = _grade(sandbox, task, patch, {}, {}, [reason], "")
    return replace(result, policy_fault=_shown(reason))


def _control(sandbox: Sandbox, task: GradingTask) -> None:
    """Grades the unchanged tree; raises SandboxFailure where that fails."""
    if task.trust == "oracle":
        run_cases(sandbox, task, NO_PATCH.kept)
    if task.tests:
        run_tests(sandbox, task, NO_PATCH.kept, task.hidden)


def _judged(sandbox: Sandbox, task: GradingTask, patch: Patch) -> Grade:
    cases: dict[str, bool] = {}
    passed: dict[str, bool] = {}
    tamper: list[str] = []
    output = ""
    try:
        if task.trust == "oracle":
            cases = run_cases(sandbox, task, patch.kept)
        if task.tests and all(cases.values()):
            run = run_tests(sandbox, task, patch.kept, task.hidden)
            passed, output = dict(run.passed), run.output
            if run.unclean:
                tamper.append(run.unclean)
            elif task.trust == "controlled" and all(passed.values()):
                tamper += run_controls(sandbox, task, patch.kept, random.SystemRandom())
    except CannotApplyError as error:
        tamper.append(f"the change cannot be put on the tree: {error}")
    return _grade(sandbox, task, patch, passed, cases, tamper, output)


def _grade(
    sandbox: Sandbox,
    task: GradingTask,
    patch: Patch,
    passed: dict[str, bool],
    cases: dict[str, bool],
    tamper: list[str],
    output: str,
) -> Grade:
    def chosen(tests: tuple[str, ...]) -> dict[str, bool]:
        return {test: passed.get(test, False) for test in tests}

    fail_to_pass, pass_to_pass = chosen(task.fail_to_pass), chosen(task.pass_to_pass)
    held = all(fail_to_pass.values()) and all(pass_to_pass.values())
    if task.trust == "oracle":
        held = held and len(cases) == len(task.cases) and all(cases.values())
    return Grade(
        resolved=held and not tamper,
        fail_to_pass=fail_to_pass,
        pass_to_pass=pass_to_pass,
        cases=cases,
        clean=not tamper,
        tamper=tuple(tamper),
        trust=task.trust,
        backend=sandbox.name,
        dropped=patch.dropped,
        output=output,
    )


def _shown(text: str) -> str:
    """A text that code under test may have made, as it can be stored: cut, in valid Unicode."""
    return escaped(text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…")

"""Who is responsible for a failure: the library and the machine, or the policy.

A ``Failure`` before the policy's text, code or workspace is used is an infrastructure failure.
After that:

1. The attempt is repeated once with the same input.
2. If it fails again, a control shows whether anything works at all: the reference answer, the
   unchanged tree.
3. If the control passes, the policy is responsible: the verdict is "not correct", its details give
   the reason as "policy_fault", and the reward is that of a wrong answer. If the control fails too,
   the failure stays an infrastructure failure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from srl_env.errors import Failure, VerifierCrash, VerifierTimeout
from srl_env.problem import Problem
from srl_env.text.unicode import utf8_safe
from srl_env.verifiers.protocol import Verdict, Verifier

T = TypeVar("T")
POLICY_FAULT = "policy_fault"
"""The key of ``Verdict.details`` whose value is a short reason in plain text."""
VERIFIER_FAILURES = (VerifierTimeout, VerifierCrash)
_LONGEST_REASON = 200


class PolicyFault(Exception):  # not an error of the library
    """The policy is responsible for a failure; the message is the reason."""


def tried_twice(
    attempt: Callable[[], T],
    control: Callable[[], object],
    *,
    again: Callable[[], T] | None = None,
    kinds: tuple[type[Failure], ...] = (Failure,),
) -> T:
    """What ``attempt`` returns, which is repeated once; see the module for the rule.

    control: does the same with the reference, and raises a ``Failure`` if that fails too.
    again: the second attempt, if it has to start earlier. kinds: which failures the rule decides;
    any other is raised at once.
    Raises ``PolicyFault``, or the second failure if the control fails.
    """
    try:
        return attempt()
    except kinds:
        pass
    try:
        return (again or attempt)()
    except kinds as failure:
        raise blamed(failure, control) from failure


def blamed(failure: Failure, control: Callable[[], object]) -> PolicyFault:
    """The policy's fault for a second failure; raises ``failure`` if the control fails too."""
    try:
        control()
    except Failure as other:
        raise failure from other
    return PolicyFault(f"{type(failure).__name__}: {failure}")


def fault_verdict(reason: str, answer: str | None = None) -> Verdict:
    """The verdict "not correct" on a policy that is responsible for a failure."""
    return Verdict(False, answer, {POLICY_FAULT: utf8_safe(reason)[:_LONGEST_REASON]})


def check_reference(verifier: Verifier, problem: Problem) -> None:
    """Verifies a problem's reference answer; raises a ``Failure`` if that fails.

    It uses the verifier's own ``control(problem)`` if there is one, else ``check_judge``.
    """
    control = getattr(verifier, "control", None)
    if control is not None:
        control(problem)
    else:
        check_judge(partial(verifier.verify, problem), problem)


def check_judge(judge: Callable[[Sequence[str]], Verdict], problem: Problem) -> None:
    """Judges the expert's solution, or the answer as the only action.

    Raises a ``Failure`` if that fails or the expert's solution is not found correct. An answer
    alone
    need not be correct: an action may have to state it in another form, as after "####".
    """
    if problem.trajectories:
        works = judge(problem.trajectories[0].actions).correct
    else:
        works = problem.answer is not None and judge((problem.answer,)) is not None
    if not works:
        raise VerifierCrash(f"the reference answer of problem {problem.id!r} is not verified")

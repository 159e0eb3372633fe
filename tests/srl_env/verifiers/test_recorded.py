from __future__ import annotations

from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.swe import RecordedCalls, ToolCall
from srl_env.verifiers import Verdict, Verifier

LS = ToolCall("bash", {"command": "ls"}).render()
SUBMIT = ToolCall("submit", {}).render()
TRAJECTORY = ExpertTrajectory((ExpertStep(LS), ExpertStep(SUBMIT)))
PROBLEM = Problem("p", "Mend it.", trajectories=(TRAJECTORY,))


def verdict(*actions: str) -> Verdict:
    return RecordedCalls().verify(PROBLEM, actions)


def test_the_recorded_calls_are_right_in_whatever_form() -> None:
    assert verdict(LS, SUBMIT) == Verdict(True, "submit", {"same_calls": 2})
    assert verdict("```\nls\n```", "```\nsubmit\n```").correct


def test_other_calls_are_wrong_and_those_that_agree_are_counted() -> None:
    assert verdict() == Verdict(False, None, {"same_calls": 0})
    assert verdict(LS) == Verdict(False, None, {"same_calls": 1})
    assert verdict(LS, "no call") == Verdict(False, None, {"same_calls": 1})
    assert verdict(SUBMIT, SUBMIT) == Verdict(False, "submit", {"same_calls": 0})
    assert verdict(LS, SUBMIT, SUBMIT).correct is False


def test_many_are_judged_one_by_one() -> None:
    verifier: Verifier = RecordedCalls()
    found = verifier.verify_many([(PROBLEM, (LS, SUBMIT)), (PROBLEM, (LS,))])
    assert [isinstance(v, Verdict) and v.correct for v in found] == [True, False]

"""Decides whether a change to a repository solves its task, and resists reward hacking.

The change is taken from the episode's workspace as plain files, filtered, put on a fresh copy of
the tree, and judged in fresh sessions that the policy never saw. A task chooses a *trust level*,
which says how far the verdict can be trusted and is reported with it:

- ``inprocess``: hidden tests run by pytest, reported over a signed channel of their own. Stops
  everything that works from outside the test process or before it: conftest files, settings,
  plug-ins and who names them, shadowed modules, planted caches, early exits, forged output. Does
  NOT stop code under test that reaches into the interpreter it runs in. It can patch pytest, find
  the reporter through ``gc``, return objects equal to everything, or read expected values from the
  caller's source.
- ``controlled``: the same, and then again several times with expectations changed at random, which
  must make every test fail. Stops all of the former that do not adapt. Does NOT stop code that
  reads the expectation and judges whether it is the true one.
- ``oracle``: calls are made in the sandbox, exact built-in values come back, and the comparison
  happens in the controller; the expected values never enter the sandbox. No forgery is known.

Where a sandbox dies, grading is tried again, and then with the unchanged tree. If only that can be
graded, the change is responsible: not resolved, with the reason as ``policy_fault``. Else it is a
SandboxFailure, which masks the sample; it is never a verdict.
"""

from srl_env.grading.controls import validate_controls
from srl_env.grading.grade import Grade, fault_grade, grade
from srl_env.grading.patch import Dropped, Patch, filter_changes
from srl_env.grading.runs import warm_judges
from srl_env.grading.task import GradingTask, OracleCase, Trust

__all__ = [
    "Dropped",
    "Grade",
    "GradingTask",
    "OracleCase",
    "Patch",
    "Trust",
    "fault_grade",
    "filter_changes",
    "grade",
    "validate_controls",
    "warm_judges",
]

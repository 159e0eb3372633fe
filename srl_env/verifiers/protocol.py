"""What a verifier is: it says whether an episode's actions solve a problem.

A wrong answer is a ``Verdict``. A verifier that could not answer raises a
``srl_env.errors.Failure``; ``srl_env.verifiers.responsibility`` decides who is responsible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from srl_env.errors import Failure
from srl_env.problem import Problem


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the problem was solved.

    answer: the final answer as read from the actions, or None. details: JSON-safe, for the log.
    "policy_fault" in it is a short reason: the policy's text, code or workspace made judging fail.
    """

    correct: bool
    answer: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_info(self) -> dict[str, Any]:
        """The verdict as ``info["verdict"]`` holds it: details beside "correct" and "answer"."""
        return {**self.details, "correct": self.correct, "answer": self.answer}


@runtime_checkable
class Verifier(Protocol):
    """Judges a policy's solution of a problem.

    Verifiers are safe to call from any thread, shared by many environments, and picklable. One
    that works in another process also has ``control(problem)``: it lets that process judge the
    reference answer, and raises a ``Failure`` if that fails. See
    ``srl_env.verifiers.responsibility``.
    """

    def extract(self, text: str) -> str | None:
        """The final answer stated in ``text``, or None; linear in its length, never raises."""

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        """The verdict on an episode's actions; may raise a ``Failure``."""

    def verify_many(
        self, items: Sequence[tuple[Problem, Sequence[str]]]
    ) -> list[Verdict | Failure]:
        """One verdict, or the ``Failure`` that prevented it, for each item, in order."""

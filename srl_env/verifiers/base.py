"""What answer-comparing verifiers share: read the last action's answer, then compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from srl_env.errors import BadData, BadOption, Failure, VerifierCrash
from srl_env.problem import Problem
from srl_env.verifiers.protocol import Verdict


class AnswerVerifier(ABC):
    """Correct if the last action states the problem's answer, as a subclass compares them."""

    threads: ClassVar[int] = 1
    """In how many threads a batch is verified; for comparisons that wait for a process."""
    needs_answer: ClassVar[bool] = True
    """Whether problems need an answer."""

    @abstractmethod
    def extract(self, text: str) -> str | None:
        """The final answer stated in ``text``, or None."""

    @abstractmethod
    def equal(self, answer: str, expected: str) -> bool:
        """Whether two answers mean the same; may raise a ``Failure``."""

    def unreadable(self, expected: str) -> str | None:
        """Why an expected answer equals only the same text, or nothing; None if it can be read.

        ``srl-env data lint`` lists such answers.
        """
        return None

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        """The verdict on the last action; one without an answer is wrong.

        Raises ``BadData`` for a problem without an answer, and what ``equal`` raises.
        """
        if problem.answer is None:
            raise BadData(f"problem {problem.id!r} has no answer; {type(self).__name__} needs one")
        answer = self.extract(actions[-1]) if actions else None
        correct = answer is not None and self.equal(answer, problem.answer)
        return Verdict(correct, answer)

    def control(self, problem: Problem) -> None:
        """Compares the problem's answer with itself; raises a ``Failure`` if that fails."""
        if problem.answer is None or not self.equal(problem.answer, problem.answer):
            raise VerifierCrash(f"the answer of problem {problem.id!r} does not equal itself")

    def verify_many(
        self, items: Sequence[tuple[Problem, Sequence[str]]]
    ) -> list[Verdict | Failure]:
        """One verdict, or the ``Failure`` that prevented it, for each item, in order."""
        if self.threads == 1:
            return [self._verdict_or_failure(*item) for item in items]
        with ThreadPoolExecutor(self.threads) as threads:
            return list(threads.map(lambda item: self._verdict_or_failure(*item), items))

    def _verdict_or_failure(self, problem: Problem, actions: Sequence[str]) -> Verdict | Failure:
        try:
            return self.verify(problem, actions)
        except Failure as failure:
            return failure


def check_marker(marker: str) -> None:
    """Raises ``BadOption`` for an empty marker."""
    if not isinstance(marker, str) or not marker:
        raise BadOption(f"marker must be the text before an answer, as '####'; got {marker!r}")

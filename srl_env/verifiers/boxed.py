"""Answers in LaTeX, ``\\boxed{…}``, compared as mathematics by math-verify."""

from __future__ import annotations

import functools
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from srl_env.errors import MissingExtra
from srl_env.problem import Problem
from srl_env.seconds import check_seconds
from srl_env.verifiers.answers import bare, prose
from srl_env.verifiers.base import AnswerVerifier
from srl_env.verifiers.latex import compared, has_dots
from srl_env.verifiers.worker_pool import WorkerPool, shared_pool

MAX_CHARACTERS = 5_000

_BRACES = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class BoxedVerifier(AnswerVerifier):
    """Correct if the content of the last ``\\boxed{…}`` equals the problem's answer.

    Equal texts and equal numbers are equal. One relation is read as its right side ("x = 5").
    Chains of relations, several candidates, other brackets and other units are wrong
    (``srl_env.verifiers.latex``). The rest is compared by math-verify (extra "math"): \\sqrt{8}
    equals 2\\sqrt{2}. What math-verify cannot read, and an answer of more than ``MAX_CHARACTERS``,
    equals only the same text.

    Math-verify runs in worker processes that all verifiers of this process share. A worker is
    killed after ``deadline_s`` seconds of processor time, or three times that by the clock, and
    ``VerifierTimeout`` is raised. This works from any thread.
    """

    threads: ClassVar[int] = 8
    deadline_s: float = 5.0

    def __post_init__(self) -> None:
        check_seconds("deadline_s", self.deadline_s)
        if not _math_verify_installed():
            raise MissingExtra("math-verify", "math")

    def extract(self, text: str) -> str | None:
        """The content of the last closed ``\\boxed{…}``, or None."""
        return last_boxed(text)

    def unreadable(self, expected: str) -> str | None:
        """The reason for a sentence, and for an answer with dots in it."""
        return "dots cannot be compared" if has_dots(expected) else prose(expected)

    def equal(self, answer: str, expected: str) -> bool:
        """Whether two answers in LaTeX mean the same; ``expected`` may be boxed or in $…$.

        Raises ``VerifierTimeout`` and ``VerifierCrash``.
        """
        expected = last_boxed(expected) or expected
        if max(len(answer), len(expected)) > MAX_CHARACTERS:
            return answer.strip() == expected.strip()
        found = compared(answer, expected)
        return found if isinstance(found, bool) else self._ask(*found)

    def control(self, problem: Problem) -> None:
        """Lets a worker compare the problem's answer with itself; raises a ``Failure``."""
        expected = bare(last_boxed(problem.answer or "") or problem.answer or "")
        self._ask(expected, expected)

    def _ask(self, answer: str, expected: str) -> bool:
        request = {"answer": answer, "expected": expected}
        return bool(_workers().call(request, self.deadline_s)["equal"])


def last_boxed(text: str) -> str | None:
    """The content of the last ``\\boxed{…}`` that is closed, stripped, or None. Linear."""
    if "\\boxed" not in text:
        return None
    open_braces: list[int] = []  # where the content begins; −1 if it is not of a \boxed
    last: tuple[int, int] | None = None
    for found in _BRACES.finditer(text):
        if found[0].endswith("{") and found[0] != "\\{":
            open_braces.append(found.end() if len(found[0]) > 1 else -1)
        elif found[0] == "}" and open_braces:
            begin = open_braces.pop()
            if begin >= 0 and (last is None or begin > last[0]):
                last = begin, found.start()
    return text[slice(*last)].strip() if last else None


@functools.cache
def _math_verify_installed() -> bool:
    return importlib.util.find_spec("math_verify") is not None


def _workers() -> WorkerPool:
    return shared_pool(Path(__file__).with_name("math_equality.py"))

"""The verifier of environments that judge themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srl_env.errors import Failure
from srl_env.problem import Problem
from srl_env.verifiers import Verdict


@dataclass(frozen=True, slots=True)
class Unasked:
    """The verifier of an environment that judges itself."""

    def extract(self, text: str) -> str | None:
        """None: no text states an answer."""
        return None

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        """Not correct: only the environment can judge."""
        return Verdict(False)

    def verify_many(
        self, items: Sequence[tuple[Problem, Sequence[str]]]
    ) -> list[Verdict | Failure]:
        """Not correct, each."""
        return [Verdict(False)] * len(items)

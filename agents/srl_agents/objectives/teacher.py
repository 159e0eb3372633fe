"""What an objective asks of a teacher: who scores its completions again, and in what prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

OWN_WEIGHTS = ("current", "start")
"""Teachers that need no model of their own: the trained weights, and the run's first weights."""


@dataclass(frozen=True, slots=True)
class TeacherRequest:
    """Scores of the completions by other weights or in another prompt, without gradient.

    weights: one of ``OWN_WEIGHTS``, a model's folder or hub name, or a server's address. hint: the
    fraction of the expert's solution that the teacher's prompts show. measure: compares
    distributions over the vocabulary, (S, V) of the policy and of the teacher, which gives (S,).
    Without one, the teacher gives the log-probs of the tokens themselves.
    """

    weights: str = "current"
    hint: float = 0.0
    measure: Callable[[Tensor, Tensor], Tensor] | None = None


def is_server(weights: str) -> bool:
    """Whether a teacher is named by a server's address."""
    return weights.startswith(("http://", "https://"))

"""Problems from a list, e.g. a table in the code or the few of a test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from srl_env.data.splits import FRACTIONS, split_of
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import Problem


@dataclass(frozen=True, slots=True, init=False)
class ListSource:
    """A ``ProblemSource`` over problems that are all in memory, or one split of them.

    name: ends with the split where one is chosen, e.g. "times/test".
    """

    problems: tuple[Problem, ...]
    name: str

    def __init__(
        self,
        problems: Iterable[Problem],
        name: str = "list",
        *,
        split: str | None = None,
        fractions: Mapping[str, float] = FRACTIONS,
    ) -> None:
        """split: keeps only the problems of that split of ``fractions``, by the hash of their ids.

        Raises ``BadOption`` for anything but a ``Problem`` and for an id that occurs twice,
        ``UnknownName`` for a split that is not in ``fractions``.
        """
        if split is not None and split not in fractions:
            raise UnknownName("split", split, fractions)
        chosen = tuple(problems)
        _check_problems(chosen)
        if split is not None:
            chosen = tuple(p for p in chosen if split_of(p.id, fractions) == split)
        object.__setattr__(self, "problems", chosen)
        object.__setattr__(self, "name", name if split is None else f"{name}/{split}")

    def __len__(self) -> int:
        return len(self.problems)

    def __getitem__(self, index: int) -> Problem:
        return self.problems[index]

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.problems)

    def index_of(self, problem_id: str) -> int:
        """The index of the problem with that id; ``UnknownName`` if there is none."""
        ids = [problem.id for problem in self.problems]
        if problem_id not in ids:
            raise UnknownName("problem", problem_id, ids)
        return ids.index(problem_id)


def _check_problems(problems: tuple[Problem, ...]) -> None:
    seen = set[str]()
    for number, problem in enumerate(problems):
        if not isinstance(problem, Problem):
            raise BadOption(
                f"ListSource takes Problem objects; number {number} is a "
                f"{type(problem).__name__}. srl_env.data.problem_from_row makes one of a row"
            )
        if problem.id in seen:
            raise BadOption(
                f"ids must be unique; got {problem.id!r} twice. Fix: several solutions of one "
                "problem are its trajectories"
            )
        seen.add(problem.id)

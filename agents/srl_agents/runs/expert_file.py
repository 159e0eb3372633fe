"""Files with solutions of an environment's problems: the experts of a run (``env.experts``)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from srl_env.data.forms.detect import read_problems
from srl_env.errors import BadData, UnknownName
from srl_env.problem import ExpertTrajectory, Problem, ProblemSource


class ExpertFile:
    """The problems of a source that a file has solutions of, with these as the experts'.

    The problems keep everything else, so that any environment can be trained on them.
    """

    def __init__(self, source: ProblemSource, path: str | Path) -> None:
        """path: data in any form that ``srl_env.data.read_problems`` reads.

        Raises BadData for a row that is not a problem, has no solution, or is not of the source.
        """
        self._source, self.name = source, f"{source.name} with {Path(path).name}"
        reading = read_problems([path])
        found: dict[int, tuple[ExpertTrajectory, ...]] = {}
        for item in reading.unique():
            problem, place = item.problem, reading.place(item)
            if not isinstance(problem, Problem):
                raise BadData(f"{place}: {problem}") from problem
            if not problem.trajectories:
                raise BadData(f"{place}: problem {problem.id!r} must have a solution; got none")
            try:
                found[source.index_of(problem.id)] = problem.trajectories
            except UnknownName as error:
                raise BadData(
                    f"{place}: {error} It must be in {source.name}. Fix: give the environment the"
                    " arguments with which the file was made"
                ) from error
        self._found = dict(sorted(found.items()))
        self._indices = list(self._found)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Problem:
        place = self._indices[index]
        return replace(self._source[place], trajectories=self._found[place])

    def index_of(self, problem_id: str) -> int:
        """The index of the problem with that id; ``UnknownName`` if the file has none."""
        place = self._source.index_of(problem_id)
        if place not in self._found:
            raise UnknownName("problem", problem_id, ("those in the file of experts",))
        return self._indices.index(place)

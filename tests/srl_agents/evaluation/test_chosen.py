"""Problems of an evaluation that are read when they are asked for."""

from __future__ import annotations

from srl_agents.evaluation.plan import ChosenProblems
from srl_env.problem import Problem


class Counted:
    """A source that counts what is read."""

    name, read = "counted", 0

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> Problem:
        self.read += 1
        return Problem(str(index), f"problem {index}")

    def index_of(self, problem_id: str) -> int:
        return int(problem_id)


def test_chosen_problems_are_read_one_by_one_and_none_is_kept() -> None:
    source = Counted()
    chosen = ChosenProblems(source, range(0, 10**9, 1000))
    assert (len(chosen), source.read) == (10**6, 0)
    assert [problem.id for problem in chosen[2:4]] == ["2000", "3000"]
    assert source.read == 2

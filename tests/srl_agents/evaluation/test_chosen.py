"""Problems of an evaluation that are read when they are asked for."""

from __future__ import annotations

from srl_agents.evaluation.plan import ChosenProblems, Plan, choose_problems
from srl_agents.runs.evaluation import EvalSettings
from srl_env.problem import Problem
from srl_env.seeding import stream


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


def test_problems_are_drawn_as_one_by_one() -> None:
    source, rng, chosen = Counted(), stream("evaluation", "counted", 5), set[int]()
    while len(chosen) < 40:
        chosen.add(int(rng.integers(len(source))))
    found = choose_problems(source, EvalSettings(problems=40, seed=5))
    assert list(found) == sorted(chosen)


def test_a_plan_of_millions_is_numbered_by_kind_and_problem() -> None:
    settings = EvalSettings(problems=10**6, rollouts=4, similarity=True)
    plan = Plan(range(10**6), settings)
    assert len(plan) == 10**6 * (4 + 1 + 1 + 4)
    ends = [(plan[n].kind, plan[n].start.options["problem"]) for n in (0, 3, 4, 4 * 10**6)]
    assert ends == [("sampled", 0), ("sampled", 0), ("sampled", 1), ("greedy", 0)]
    last = plan[len(plan) - 1]
    assert (last.kind, last.start.group) == ("forced_sampled", 10**6 - 1)
    assert last.number in plan.blocks[3].group(10**6 - 1)

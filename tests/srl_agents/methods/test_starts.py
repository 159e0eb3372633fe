"""Where episodes start: everything once per epoch, the same again from a checkpoint."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby

import pytest

from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartPoint, StartResult, StartSampler
from srl_env.data import ListSource
from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.testing import counting_problem

COUNTING = ListSource(tuple(counting_problem(target) for target in (2, 3, 4)))
PREFIXES = [StartPoint(p, k) for p, steps in enumerate((3, 4, 5)) for k in range(steps)]


def sampler(starts: Starts, *key: str | int) -> StartSampler:
    return StartSampler(COUNTING, starts, key)


def result(informative: bool) -> StartResult:
    return StartResult((0.0, 1.0), (), informative)


def test_an_epoch_holds_every_problem_once() -> None:
    drawn = sampler(Starts()).draw(3 * 5)
    for epoch in range(5):
        assert sorted(drawn[3 * epoch : 3 * epoch + 3]) == [StartPoint(p) for p in range(3)]


def test_an_epoch_holds_every_prefix_once() -> None:
    assert sorted(sampler(Starts("prefix")).draw(len(PREFIXES))) == PREFIXES


def test_starts_of_one_problem_come_together_in_parts() -> None:
    for together, most in ((2, 2 + 2 + 3), (9, 3)):  # parts of 3, 4 and 5 starts
        drawn = sampler(Starts("prefix", together=together)).draw(len(PREFIXES))
        assert sorted(drawn) == PREFIXES
        assert len(list(groupby(point.problem for point in drawn))) <= most


def test_the_papers_targets_leave_the_last_step_out() -> None:
    wanted = [StartPoint(p, k) for p, steps in enumerate((3, 4, 5)) for k in range(steps - 1)]
    assert sorted(sampler(Starts("prefix", "paper")).draw(len(wanted))) == wanted


def test_orders_differ_between_epochs_and_keys_and_repeat_with_the_key() -> None:
    first = sampler(Starts("prefix"), "a", 1)
    drawn = first.draw(24)
    assert drawn[:12] != drawn[12:]
    assert sampler(Starts("prefix"), "a", 1).draw(24) == drawn
    assert sampler(Starts("prefix"), "a", 2).draw(24) != drawn


def test_a_restored_sampler_continues_with_the_same_draws() -> None:
    first = sampler(Starts("prefix", revisit=0.5))
    for point in first.draw(17):
        first.record(point, result(point.problem == 0))
    state = first.state()
    second = sampler(Starts("prefix", revisit=0.5))
    second.restore(state)
    assert second.draw(40) == first.draw(40)


def test_starts_without_signal_are_drawn_less_until_they_have_one_again() -> None:
    few = sampler(Starts("prefix", revisit=0.01))
    without, others = PREFIXES[:6], PREFIXES[6:]
    for point in without:
        few.record(point, result(informative=False))
    counts = Counter(few.draw(600))
    assert sum(counts[point] for point in without) < 30
    few.record(without[0], result(informative=True))
    assert Counter(few.draw(600))[without[0]] > 50
    assert min(counts[point] for point in others) > 50


def test_only_steps_that_all_trajectories_have_are_starts() -> None:
    def trajectory(length: int) -> ExpertTrajectory:
        return ExpertTrajectory(tuple(ExpertStep(f"s{n}") for n in range(length)))

    source = ListSource((Problem("p", "?", "!", (trajectory(4), trajectory(2))),))
    drawn = StartSampler(source, Starts("prefix"), ()).draw(4)
    assert {point.start_step for point in drawn} == {0, 1}


@dataclass(frozen=True)
class Endless:
    """A generator's source: as many problems as one likes, made when asked for."""

    size: int
    name: str = "endless/train"

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Problem:
        return counting_problem(2)

    def index_of(self, problem_id: str) -> int:
        raise NotImplementedError


@pytest.mark.parametrize("size", [5000, 2**40])
def test_large_sources_are_drawn_from_all_over(size: int) -> None:
    drawn = StartSampler(Endless(size), Starts("prefix"), ()).draw(2000)
    problems = {point.problem for point in drawn}
    assert len(problems) > 600
    assert min(problems) < 0.1 * size
    assert max(problems) > 0.9 * size


def test_an_epoch_over_several_chunks_holds_every_problem_once() -> None:
    drawn = StartSampler(Endless(2500), Starts(), ()).draw(2500)
    assert sorted(point.problem for point in drawn) == list(range(2500))


def test_a_source_without_experts_has_no_prefixes_to_start_from() -> None:
    source = ListSource((Problem("p", "?", "!"),))
    with pytest.raises(BadOption, match="got 1 problems without one"):
        StartSampler(source, Starts("prefix"), ()).draw(1)


def test_only_the_named_problems_are_drawn() -> None:
    only = StartSampler(COUNTING, Starts("prefix"), ("key",), only=[2])
    assert {point.problem for point in only.draw(20)} == {2}
    assert {point.start_step for point in only.draw(20)} == {0, 1, 2, 3, 4}

"""Prefix schedules: how much is given, by hand, and whole runs with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srl_agents.methods.adaback import Interval
from srl_agents.methods.prefix import PrefixSchedule, ProblemStats, given_steps
from srl_agents.methods.r3 import Staged
from srl_agents.methods.r3_pooled import Pooled
from srl_agents.methods.sft import SFT
from srl_agents.methods.shipped import get_method
from srl_agents.methods.srl import SRL
from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartPoint, StartResult, StartSampler
from srl_agents.runs.checkpoint import checkpoints, load_state
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.data import ListSource
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import Problem
from srl_env.testing import counting_problem
from tests.srl_agents.letters import lines, updates

NEW = ProblemStats()
COUNTING = ListSource(tuple(counting_problem(target) for target in (2, 3, 4)))  # 3, 4, 5 steps


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def sampler(schedule: PrefixSchedule, source: Any = COUNTING) -> StartSampler:
    return StartSampler(source, Starts(prefix=schedule), ("key",))


def result(*correct: bool) -> StartResult:
    return StartResult(tuple(float(each) for each in correct), correct, informative=True)


@pytest.mark.parametrize(
    ("fraction", "steps", "given"),
    [(0.0, 5, 0), (0.5, 5, 2), (0.99, 5, 4), (1.0, 5, 4), (3 / 49, 49, 3), (0.9, 1, 0), (1, 0, 0)],
)
def test_a_fraction_of_the_steps_is_rounded_down_and_leaves_one(
    fraction: float, steps: int, given: int
) -> None:
    assert given_steps(fraction, steps) == given


def test_statistics_count_verdicts_and_keep_the_last_std() -> None:
    once = NEW.counting([0.0, 1.0, 1.0, 0.0], [False, True, True, False])
    assert once == ProblemStats(tries=4, successes=2, std=0.5)
    twice = once.counting([1.0, 1.0], [True, True])
    assert twice == ProblemStats(tries=6, successes=4, std=0.0)


def test_r3_moves_from_the_last_cut_to_the_problem() -> None:
    schedule = Staged(cuts=4)
    progress = [0.0, 0.24, 0.25, 0.5, 0.75, 1.0]
    fractions = [schedule.fraction(each, NEW, generator()) for each in progress]
    assert fractions == [0.75, 0.75, 0.5, 0.25, 0.0, 0.0]
    starts = sampler(schedule)
    for progressed, given in ((0.0, [2, 3, 3]), (0.5, [0, 1, 1]), (0.9, [0, 0, 0])):
        starts.progress = progressed
        assert [point.start_step for point in sorted(starts.draw(3))] == given


def test_r3_pooled_draws_every_cut_about_as_often() -> None:
    points = sampler(Pooled(cuts=2)).draw(600)
    counts = Counter((point.problem, point.start_step) for point in points)
    assert set(counts) == {(0, 0), (0, 1), (1, 0), (1, 2), (2, 0), (2, 2)}  # half of 3, 4, 5 steps
    assert min(counts.values()) > 60


def test_adaback_searches_for_how_much_a_problem_needs() -> None:
    schedule = Interval(threshold=0.5)
    failed = schedule.moved(NEW, 0.4, success=0.25)
    assert (failed.lo, failed.hi) == (0.4, 1.0)
    solved = schedule.moved(failed, 0.7, success=0.5)
    assert (solved.lo, solved.hi) == (0.0, 0.7)
    reopened = schedule.moved(solved, 0.3, success=0.0)
    assert (reopened.lo, reopened.hi) == (0.3, 1.0)
    kept = replace(schedule, reopen=False).moved(solved, 0.3, success=0.0)
    assert (kept.lo, kept.hi) == (0.3, 0.7)


def test_adaback_gives_nothing_once_a_problem_is_solved_alone_and_again_if_it_then_fails() -> None:
    schedule = Interval()
    alone = schedule.moved(ProblemStats(lo=0.2, hi=0.6), 0.0, success=1.0)
    assert (alone.lo, alone.hi) == (0.0, 0.0)
    assert schedule.fraction(0.5, alone, generator()) == 0.0
    again = schedule.moved(alone, 0.0, success=0.0)
    assert (again.lo, again.hi) == (0.0, 1.0)


def test_an_unaided_start_that_fails_leaves_the_interval() -> None:
    between = ProblemStats(lo=0.2, hi=0.6)
    assert Interval().moved(between, 0.0, success=0.0) == between
    assert Interval(unaided=1.0).fraction(0.0, between, generator()) == 0.0
    drawn = [
        Interval(unaided=0.0).fraction(0.0, between, np.random.default_rng(i)) for i in range(50)
    ]
    assert 0.2 <= min(drawn) < 0.3
    assert 0.5 < max(drawn) <= 0.6


def test_a_sampler_moves_the_interval_of_the_problem_that_was_sampled() -> None:
    starts = sampler(Interval())
    starts.record(StartPoint(1, 2, fraction=0.6), result(True, True, False, False))
    starts.record(StartPoint(2, 1, fraction=0.25), result(False, False))
    assert starts.stats == {
        1: ProblemStats(tries=4, successes=2, std=0.5, lo=0.0, hi=0.6),
        2: ProblemStats(tries=2, successes=0, std=0.0, lo=0.25, hi=1.0),
    }


def test_the_metric_is_the_mean_fraction_of_the_steps_that_were_given() -> None:
    source = ListSource((counting_problem(4), counting_problem(3)))  # 5 and 4 steps
    points = [StartPoint(0, 2), StartPoint(1, 1)]
    replayed = StartSampler(source, Starts(prefix=Pooled()), ("key",))
    assert replayed.metrics(points) == {"starts/given": pytest.approx((2 / 5 + 1 / 4) / 2)}
    assert replayed.metrics([]) == StartSampler(source, Starts(), ("key",)).metrics(points) == {}
    shown = StartSampler(source, Starts(prefix=Pooled(), place="hint"), ("key",))
    hints = [StartPoint(0, hint=2 / 5), StartPoint(1)]
    assert shown.metrics(hints) == {"starts/given": pytest.approx(1 / 5)}


def test_the_verdict_decides_and_not_the_reward() -> None:
    starts = sampler(Interval())
    starts.record(StartPoint(0, 1, fraction=0.5), StartResult((0.0, 0.0), (True, True), False))
    assert (starts.stats[0].lo, starts.stats[0].hi) == (0.0, 0.5)
    starts.record(StartPoint(1, 1, fraction=0.5), StartResult((1.0, 1.0), (False, False), False))
    assert (starts.stats[1].lo, starts.stats[1].hi) == (0.5, 1.0)
    starts.record(StartPoint(2, 1, fraction=0.5), StartResult((0.0, 0.0), (), False))
    assert 2 not in starts.stats  # without a verdict nothing is known


@pytest.mark.parametrize("schedule", [Interval(), Pooled()])
def test_a_restored_sampler_gives_the_same_prefixes(schedule: PrefixSchedule) -> None:
    first = sampler(schedule)
    for point in first.draw(20):
        first.record(point, result(point.problem == 0, point.start_step > 1))
    second = sampler(schedule)
    second.restore(first.state())
    assert second.stats == first.stats
    drawn, again = first.draw(40), second.draw(40)
    assert drawn == again
    assert [point.fraction for point in drawn] == [point.fraction for point in again]


def test_a_problem_without_an_expert_starts_at_the_problem() -> None:
    source = ListSource((Problem("p", "?", "!"), counting_problem(4)))
    points = sampler(Staged(cuts=2), source).draw(10)
    assert {(p.problem, p.start_step, p.fraction) for p in points} == {(0, 0, 0.0), (1, 2, 0.5)}


def test_stages_in_which_a_schedule_means_nothing_are_refused() -> None:
    with pytest.raises(BadOption, match="set starts.at to 'problem'"):
        replace(SRL, starts=Starts("prefix", prefix=Staged()))
    whole = replace(SFT.objective, granularity="solution")  # type: ignore[type-var]
    with pytest.raises(BadOption, match="needs an objective that samples"):
        replace(SFT, objective=whole, starts=Starts(prefix=Staged()))


# Whole runs


def configured(tree: dict[str, Any], out: Path, method: str = "rlvr", **prefix: Any) -> Any:
    starts = {"starts": {"prefix": prefix}} if prefix else {}
    changes = {"out": str(out), "method": method, "stages": {"rlvr": starts}}
    return make_config(merged(tree, changes))


def trained(tree: dict[str, Any], out: Path, method: str = "rlvr", **prefix: Any) -> bytes:
    train(configured(tree, out, method, **prefix))
    return (out / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("method", "off"),
    [
        ("adaback", {"unaided": 1.0}),
        ("adaprefix", {"withdraw_from": 0.0, "withdraw_to": 0.0}),
        ("bread", {"cuts": 1}),
        ("questa", {"shares": [0.0]}),
        ("r3", {"cuts": 1}),
        ("r3-pooled", {"cuts": 1}),
    ],
)
def test_a_schedule_that_gives_nothing_is_rlvr_to_the_bit(
    tree: dict[str, Any], tmp_path: Path, method: str, off: dict[str, Any]
) -> None:
    rlvr = trained(tree, tmp_path / "rlvr")
    assert trained(tree, tmp_path / "off", method, **off) == rlvr
    kept = "rollouts/000000.jsonl"
    assert (tmp_path / "off" / kept).read_bytes() == (tmp_path / "rlvr" / kept).read_bytes()


def test_r3_starts_after_a_step_and_then_at_the_problem(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    trained(merged(tree, {"log": {"rollouts_every": 1}}), tmp_path / "run", "r3", cuts=2)
    rollouts = lines(tmp_path / "run", "rollouts")
    first = {line["update"]: line["start_step"] for line in rollouts}
    assert first == {1: 1, 2: 1, 3: 1, 4: 0, 5: 0, 6: 0}
    given = [update["starts/given"] for update in updates(tmp_path / "run")]
    assert [value > 0 for value in given] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("method", "own"),
    [
        ("adaback", {}),
        ("adaprefix", {"withdraw_from": 1.0, "withdraw_to": 1.0}),  # whatever the budget is
        ("bread", {}),
    ],
)
def test_an_interrupted_run_with_its_own_statistics_ends_as_the_uninterrupted_one(
    tree: dict[str, Any], tmp_path: Path, method: str, own: dict[str, Any]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    model = trained(tree, whole, method, **own)
    train(configured(merged(tree, {"budget": {"updates": 3}}), parts, method, **own))
    train(configured(tree, parts, method, **own), resume=True)
    assert (parts / "model" / "model.safetensors").read_bytes() == model
    stats = [
        load_state(checkpoints(folder / "checkpoints")[-1]).counters["starts"]["stats"]
        for folder in (whole, parts)
    ]
    assert stats[0] == stats[1]
    assert sum(each["tries"] for each in stats[0].values()) > 100
    assert len(updates(parts)) == 6


def test_a_method_that_needs_demonstrations_is_refused_on_data_without_them(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    env = {"id": "srl/ModularChain-v0", "options": {"demonstrated": 0}}
    for method in ("r3", "adaback", "srl", "sft-rlvr", "holistic"):
        with pytest.raises(BadOption, match=f"method '{method}' must have problems.*: rlvr$"):
            train(configured({**tree, "env": env}, tmp_path / "run", method))
    assert not (tmp_path / "run").exists()


def test_a_schedule_needs_a_kind_that_exists(tree: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="prefix.kind must name a schedule; got none. Fix: choose"):
        configured(tree, tmp_path, cuts=3)
    with pytest.raises(UnknownName, match="Did you mean 'staged'"):
        configured(tree, tmp_path, kind="stagd")
    with pytest.raises(UnknownName, match="Did you mean 'stages.rlvr.starts.prefix.cuts'"):
        configured(tree, tmp_path, "r3", cutz=3)
    set_for_all = make_config(
        merged(tree, {"method": "r3", "train": {"starts": {"prefix": {"cuts": 3}}}})
    )
    assert set_for_all.resolved_method.stages[0].starts.prefix == Staged(cuts=3)
    own = configured(tree, tmp_path, kind="staged").resolved_method
    assert own.stages[0].starts == get_method("r3").stages[0].starts

"""Rollouts in columns: who is in a group, what is left out, what is no rollout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srl_agents.view.index import Index, make_index, read_row
from srl_agents.view.query import find_steps, read_query
from srl_agents.view.sources import ViewedRun, find_runs
from srl_env.errors import BadData, BadOption, UnknownName
from tests.srl_agents.view.rows import FAILURE, episode, group, step, training_run


@pytest.fixture
def runs(tmp_path: Path) -> list[ViewedRun]:
    """Two groups of two and a failed rollout."""
    flat = {"advantage": 0.0, "std": 0.0, "outcome": "zero_std"}
    rows = [
        *group("abc", "abd"),
        episode(step("x", 1, reward=0.0), group=1, signals=[flat], start_step=1),
        episode(
            step("carry", 1, format_ok=False, reward=-1.0, legal=False),
            group=1,
            signals=[flat],
            start_step=1,
            verdict={"correct": False, "answer": None},
        ),
        episode(
            step("y", 0),
            step("z", 1, failure=FAILURE, reward=None, expert_action=None),
            update=2,
            group=0,
            verdict=None,
            failure=FAILURE,
            signals=[None, None],
        ),
    ]
    return find_runs([training_run(tmp_path / "run", rows)])


@pytest.fixture
def index(runs: list[ViewedRun]) -> Index:
    return make_index(runs, most_steps=100)


def test_rollouts_of_the_same_start_are_a_group(index: Index) -> None:
    assert [entry.group for entry in index.episodes] == [0, 0, 1, 1, 2]
    assert [e.number for e in index.group_of(index.episodes[1])] == [0, 1]
    assert [s.index for s in index.steps_of(index.episodes[4])] == [0, 1]


def test_a_step_has_its_reward_advantage_and_fate(index: Index) -> None:
    kept, flat, failed = index.steps[0], index.steps[2], index.steps[5]
    assert (kept.reward, kept.advantage, kept.outcome) == (0.5, 1.0, "trained")
    assert (flat.reward, flat.advantage, flat.outcome) == (0.0, 0.0, "zero_std")
    assert (failed.reward, failed.outcome, failed.failure) == (None, None, "VerifierTimeout")
    assert [e.correct for e in index.episodes] == [True, True, True, False, None]


def test_an_episode_is_found_again_in_its_file(index: Index) -> None:
    assert read_row(index.episodes[3])["steps"][0]["action"] == "carry"


def test_of_too_many_steps_whole_groups_are_left_out(tmp_path: Path) -> None:
    rows = [row for number in range(10) for row in group("a", "b", number=number)]
    runs = find_runs([training_run(tmp_path / "many", rows)])
    index = make_index(runs, most_steps=10)
    assert [e.problem for e in index.episodes[::2]] == [f"sum/{n}" for n in range(0, 10, 2)]
    assert (len(index.steps), index.left_out) == (10, 10)


def test_a_line_that_is_no_rollout_is_named(tmp_path: Path) -> None:
    rows = [*group("a"), {"update": 1, "problem_id": "p", "steps": [{"action": "b"}]}]
    runs = find_runs([training_run(tmp_path / "bad", rows)])
    with pytest.raises(BadData, match=r"000000\.jsonl:2: must be an episode; got .*KeyError"):
        make_index(runs, most_steps=100)


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ([], [0, 1, 2, 3, 4, 5]),
        (["step=1"], [2, 3, 5]),
        (["step=0-0"], [0, 1, 4]),
        (["reward=..0"], [2, 3]),
        (["reward=0.1..1"], [0, 1, 4]),
        (["verdict=wrong"], [3]),
        (["verdict=none"], [4, 5]),
        (["failure=any"], [4, 5]),
        (["failure=VerifierTimeout", "step=1"], [5]),
        (["failure=none", "group=dropped"], [2, 3]),
        (["group=trained"], [0, 1]),
        (["form=broken"], [3]),
        (["form=illegal"], [3]),
        (["problem=SUM/1"], [2, 3]),
        (["text=CARRY"], [3]),
        (["text=within 2 s"], [4, 5]),
        (["run=other"], []),
        (["part=srl", "group=unused"], []),
    ],
)
def test_filters(
    runs: list[ViewedRun], index: Index, filters: list[str], numbers: list[int]
) -> None:
    assert find_steps(read_query(filters), runs, index) == numbers


def test_a_filter_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownName, match=r"no filter 'grup'. Did you mean 'group'"):
        read_query(["grup=kept"])


@pytest.mark.parametrize("given", ["step=a", "step=", "reward=..", "group=lost", "verdict"])
def test_a_filters_wrong_value_says_what_it_takes(given: str) -> None:
    with pytest.raises(BadOption, match=rf"{given.partition('=')[0]} takes "):
        read_query([given])


def test_old_logs_without_signals_and_expert_are_read(tmp_path: Path) -> None:
    row = episode(step("abc"))
    del row["signals"], row["steps"][0]["expert_action"]
    runs = find_runs([training_run(tmp_path / "old", [json.loads(json.dumps(row))])])
    (found,) = make_index(runs, most_steps=9).steps
    assert (found.advantage, found.outcome) == (None, None)

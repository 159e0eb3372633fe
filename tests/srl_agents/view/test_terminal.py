"""The terminal's view: what is printed, and that nothing of a rollout moves the cursor."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from srl_agents.view.sources import ViewedRun, find_runs
from srl_agents.view.terminal import show
from srl_env.errors import BadOption
from tests.srl_agents.view.rows import FAILURE, episode, group, step, training_run


@pytest.fixture
def runs(tmp_path: Path) -> list[ViewedRun]:
    rows = [
        *group("abc", "xbc"),
        episode(step("a", 0, text="<think>hm</think>a"), step("b", 1), group=1),
        episode(step("c", 1, failure=FAILURE, reward=None), group=2, verdict=None, failure=FAILURE),
    ]
    return find_runs([training_run(tmp_path / "run", rows)])


def printed(runs: list[ViewedRun], **options: Any) -> str:
    """The text on the terminal."""
    console = Console(file=io.StringIO(), width=110, force_terminal=False)
    show(runs, console, **options)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_runs_curves_and_steps_are_listed(runs: list[ViewedRun]) -> None:
    text = printed(runs)
    assert "Mean reward in training" in text
    assert "▁" in text
    assert "1–5 of 5 steps of 4 rollouts of 3 problems" in text
    assert "update 1 · sum/0" in text


def test_filters_shorten_the_list(runs: list[ViewedRun]) -> None:
    assert "1–1 of 1 step of 1 rollout of 1 problem" in printed(runs, filters=["failure=any"])
    assert "No step passes the filters" in printed(runs, filters=["text=nowhere"])


def test_a_step_is_shown_beside_its_group(runs: list[ViewedRun]) -> None:
    text = printed(runs, step=1)
    assert "the expert" in text
    assert "rollout 1 · no. 0" in text
    assert "rollout 2 · no. 1" in text
    assert "group trained on" in text
    assert "advantage +1.00" in text


def test_a_failure_is_shown_with_its_message(runs: list[ViewedRun]) -> None:
    assert "VerifierTimeout: no answer within 2 s" in printed(runs, step=4)


def test_the_whole_completion_is_printed_if_it_is_more_than_the_action(
    runs: list[ViewedRun],
) -> None:
    assert "<think>hm</think>a" in printed(runs, step=2)
    assert "the completion" not in printed(runs, step=0)


def test_a_step_that_does_not_exist_is_refused(runs: list[ViewedRun]) -> None:
    with pytest.raises(BadOption, match="step must be below 5, as in the list; got 7"):
        printed(runs, step=7)


def test_escape_sequences_markup_and_marks_of_direction_are_text(tmp_path: Path) -> None:
    hostile = "\x1b[31m[red]x[/red]\x1b]0;title\x07‮ \ud800"
    rows = [episode(step(hostile, expert_action=hostile), problem_id=hostile)]
    runs = find_runs([training_run(tmp_path / "run", rows)])
    text = printed(runs, step=0) + printed(runs)
    assert not set(text) & {"\x1b", "\x07", "‮", "\ud800"}
    assert r"\x1b[31m[red]x[/red]\x1b]0;title\x07\u202e \ud800" in text

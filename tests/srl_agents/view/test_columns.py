"""Episodes in Parquet: written in parts, filtered by their small columns, shown by page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from srl_agents.cli.main import app
from srl_agents.view import columns
from srl_agents.view.columns import ColumnLog, write_columns
from srl_agents.view.query import read_query
from srl_agents.view.sources import find_runs
from srl_env.errors import BadData, BadOption
from tests.srl_agents.view.rows import FAILURE, episode, step, write_lines

RED = "\x1b[31mred"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Columns of 130 episodes in groups of 20 rows: every third is wrong, the last one failed."""
    monkeypatch.setattr(columns, "_ROWS_AT_ONCE", 20)
    rows = [
        episode(
            step("ab", reward=float(n)),
            step(RED, index=1, reward=0.5),
            group=n,
            verdict={"correct": n % 3 > 0, "answer": "2"},
        )
        for n in range(129)
    ]
    rows.append(episode(step("a", reward=None), group=129, verdict=None, failure=FAILURE))
    path = tmp_path / "log.parquet"
    assert write_columns(find_runs(write_lines(tmp_path / "run.jsonl", rows)), path) == 130
    assert [file.name for file in tmp_path.iterdir() if "part" in file.suffix] == []
    return path


def numbers(log: Path, page: int, *filters: str, size: int = 50) -> tuple[list[int], int]:
    found = ColumnLog(log).page(page, size, read_query(filters))
    return [listed.number for listed in found.listed], found.total


def test_a_page_has_the_episodes_of_its_place_among_those_that_pass(log: Path) -> None:
    assert numbers(log, 1, size=3) == ([0, 1, 2], 130)
    assert numbers(log, 44, size=3) == ([129], 130)
    assert numbers(log, 2, "verdict=wrong", size=10) == (
        [30, 33, 36, 39, 42, 45, 48, 51, 54, 57],
        43,
    )
    assert numbers(log, 1, "failure=any") == numbers(log, 1, "verdict=none") == ([129], 1)
    assert numbers(log, 1, "failure=VerifierTimeout", "part=srl") == ([129], 1)
    assert numbers(log, 1, "failure=none")[1] == 129
    assert numbers(log, 1, "problem=sum/12", "verdict=right") == ([121, 122, 124, 125, 127, 128], 6)
    assert numbers(log, 1, "reward=10..12") == ([10, 11], 2)  # 10.5 and 11.5
    assert numbers(log, 1, "problem=nothing") == ([], 0)


def test_an_episode_is_read_whole_by_its_number(log: Path) -> None:
    row = ColumnLog(log).episode(57)
    assert row["problem_id"] == "sum/57"
    assert [one["action"] for one in row["steps"]] == ["ab", RED]
    with pytest.raises(BadOption, match="^an episode must be below 130; got 130$"):
        ColumnLog(log).episode(130)


def test_what_columns_cannot_do_is_said(log: Path, tmp_path: Path) -> None:
    opened = ColumnLog(log)
    with pytest.raises(BadOption, match="page must be at most 3; got 4"):
        opened.page(4, 50, {})
    with pytest.raises(BadOption, match="a filter of columns must be one of run, .* got 'text'"):
        opened.page(1, 50, read_query(["text=a"]))
    other = tmp_path / "other.parquet"
    other.write_text("no")
    with pytest.raises(BadData, match=r"other\.parquet must be a Parquet file of episodes"):
        ColumnLog(other)


def test_a_damaged_log_leaves_no_file_of_columns(tmp_path: Path) -> None:
    damaged = write_lines(tmp_path / "run.jsonl", [episode(step("a")), {"steps": []}])
    with pytest.raises(BadData, match=r"run\.jsonl:2: not a rollout"):
        write_columns(find_runs(damaged), tmp_path / "log.parquet")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.jsonl"]


def called(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["view", *map(str, arguments)])
    return done.exit_code, done.output


def test_the_command_writes_columns_and_shows_them_by_page(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(log, "--page", 3)[0] == 0
    code, shown = called(log, "--where", "verdict=wrong")
    assert code == 0
    assert "page 1 of 1: 43 of 130 episodes" in shown
    code, shown = called(log, "--step", 1)
    assert code == 0
    assert r"\x1b[31mred" in shown
    assert "\x1b" not in shown
    again = tmp_path / "again.parquet"
    assert called(tmp_path / "run.jsonl", "--columns", again) == (
        0,
        f"Columns: {again} (130 episodes)\n",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda log: (log, "--terminal"), "is shown by page in the terminal"),
        (lambda log: (log.with_name("run.jsonl"), "--page", 2), "--page is for a file of columns"),
        (
            lambda log: (log.with_name("run.jsonl"), "--columns", "a.csv"),
            "must be a file that ends",
        ),
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    log: Path, arguments: Callable[[Path], tuple[object, ...]], said: str
) -> None:
    code, output = called(*arguments(log))
    assert (code, output.count("\n")) == (2, 1)
    assert said in output

"""Lists of episodes: filtered by the small columns of a log, shown by page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from srl_agents.cli.main import app
from srl_agents.runs import episode_rows
from srl_agents.runs.episode_rows import EpisodeRows
from srl_agents.view.index import make_index
from srl_agents.view.listing import Listing
from srl_agents.view.query import read_query
from srl_agents.view.sources import find_runs
from srl_env.errors import BadOption
from tests.srl_agents.view.rows import FAILURE, episode, step, training_run

RED = "\x1b[31mred"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """130 episodes in parts of 20, the last one text: every third is wrong, the last one failed."""
    monkeypatch.setattr(episode_rows, "PART", 20)
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
    folder = training_run(tmp_path / "run")
    (folder / "rollouts/000000.jsonl").unlink()
    EpisodeRows(folder / "rollouts").add(dict(enumerate(rows)))
    assert sorted(f.suffix for f in (folder / "rollouts").iterdir()) == [
        ".jsonl",
        *[".parquet"] * 6,
    ]
    return folder


def numbers(run: Path, page: int, *filters: str, size: int = 50) -> tuple[list[int], int]:
    found = Listing(find_runs(run)).page(page, size, read_query(filters))
    return [listed.number for listed in found.listed], found.total


def test_a_page_has_the_episodes_of_its_place_among_those_that_pass(run: Path) -> None:
    assert numbers(run, 1, size=3) == ([0, 1, 2], 130)
    assert numbers(run, 44, size=3) == ([129], 130)
    assert numbers(run, 2, "verdict=wrong", size=10) == (
        [30, 33, 36, 39, 42, 45, 48, 51, 54, 57],
        43,
    )
    assert numbers(run, 1, "failure=any") == numbers(run, 1, "verdict=none") == ([129], 1)
    assert numbers(run, 1, "failure=VerifierTimeout", "part=srl") == ([129], 1)
    assert numbers(run, 1, "failure=none")[1] == 129
    assert numbers(run, 1, "problem=sum/12", "verdict=right") == ([121, 122, 124, 125, 127, 128], 6)
    assert numbers(run, 1, "reward=10..12") == ([10, 11], 2)  # 10.5 and 11.5
    assert numbers(run, 1, "problem=nothing") == ([], 0)


def test_an_episode_is_read_whole_by_its_number(run: Path) -> None:
    for number in (57, 128):  # of a part in columns, and of the text
        row = Listing(find_runs([run, run])).episode(130 + number)
        assert row["problem_id"] == f"sum/{number}"
        assert [one["action"] for one in row["steps"]] == ["ab", RED]
    with pytest.raises(BadOption, match="^an episode must be below 130; got 130$"):
        Listing(find_runs(run)).episode(130)


def test_what_lists_cannot_do_is_said(run: Path) -> None:
    with pytest.raises(BadOption, match="page must be at most 3; got 4"):
        numbers(run, 4)
    with pytest.raises(BadOption, match="a filter of episodes must be one of run, .* got 'text'"):
        numbers(run, 1, "text=a")


def test_the_page_of_a_run_is_thinned_by_groups_across_parts(run: Path) -> None:
    index = make_index(find_runs(run), most_steps=130)  # of 259 steps
    assert [entry.problem for entry in index.episodes] == [f"sum/{n}" for n in range(0, 130, 2)]
    assert (len(index.steps), index.left_out) == (130, 129)


def called(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["view", *map(str, arguments)])
    return done.exit_code, done.output


def test_the_command_lists_episodes_by_page_and_shows_one(run: Path) -> None:
    assert called(run, "--page", 3)[0] == 0
    code, shown = called(run, "--page", 1, "--where", "verdict=wrong")
    assert code == 0
    assert "page 1 of 1: 43 of 130 episodes" in shown
    code, shown = called(run, "--episode", 1)
    assert code == 0
    assert r"\x1b[31mred" in shown
    assert "\x1b" not in shown
    code, shown = called(run, "--episode", 1, "--json")
    assert (code, json.loads(shown)["steps"][1]["action"]) == (0, RED)
    part = run / "rollouts/000002.parquet"  # alone
    assert "page 1 of 1: 20 of 20 episodes" in called(part, "--page", 1)[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--page", 1, "--terminal"), "--page and --episode list episodes"),
        (("--page", 1, "--step", 2), "--page and --episode list episodes"),
        (("--json",), "--json must be with --episode"),
        (("--where", "verdict=wrong"), "must be with --terminal, or --where with --page"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    run: Path, arguments: tuple[object, ...], said: str
) -> None:
    code, output = called(run, *arguments)
    assert (code, output.count("\n")) == (2, 1)
    assert said in output

"""``srl-env view`` and ``srl-env plot`` from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from srl_agents.cli.main import app
from tests.srl_agents.view.rows import group, training_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return training_run(tmp_path / "run", group("abc", "xbc"))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    return result.stderr


def test_a_page_is_written_into_the_run_or_where_it_is_asked_for(run: Path, tmp_path: Path) -> None:
    assert str(run / "view.html") in call("view", run).stdout
    assert (run / "view.html").stat().st_size > 10_000
    call("view", run, "-o", tmp_path / "deep" / "page.html", "--no-tokens")
    assert (tmp_path / "deep" / "page.html").exists()


def test_the_terminal_shows_what_is_asked_for_and_ends_where_nobody_types(run: Path) -> None:
    result = call("view", run, "--terminal", "--where", "reward=0..1", "--where", "text=xbc")
    assert result.exit_code == 0, result.output
    assert "1–1 of 1 step of 1 rollout of 1 problem" in result.stdout
    assert "rollout 2 · no. 1" in call("view", run, "-t", "--step", 1).stdout


def test_options_that_do_not_go_together_are_refused(run: Path) -> None:
    assert "--where and --step must be with --terminal" in fails("view", run, "--step", 1)
    assert "--terminal writes no page" in fails("view", run, "-t", "-o", "x.html")


def test_mistakes_end_with_one_line(tmp_path: Path, run: Path) -> None:
    assert fails("view", tmp_path / "none").startswith(f"error: {tmp_path / 'none'} does not exist")
    assert "no filter 'stepp'. Did you mean 'step'" in fails(
        "view", run, "-t", "--where", "stepp=1"
    )
    assert "format must be one of" in fails("plot", run, "--format", "gif")


def test_plot_says_what_it_wrote(tmp_path: Path) -> None:
    folder = training_run(tmp_path / "run", rewards=(0.5,))
    (folder / "metrics.jsonl").write_text('{"update": 1, "stage": "srl", "reward": 0.5}\n')
    result = call("plot", folder, "--format", "svg")
    assert result.exit_code == 0, result.output
    assert "reward-update (svg)" in result.stdout
    assert (folder / "figures" / "results.tex").exists()

"""Progress as it is shown: on narrow terminals, and in logs."""

import re
import time

import pytest
import typer
from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from srl_agents.cli import console
from srl_agents.cli.user_errors import one_line_errors
from srl_env.errors import BadData
from srl_env.text.unicode import escaped

pytestmark = pytest.mark.usefixtures("piped")
NOTE = "rlvr, update 5 · reward 0.32 · right 0.2 · kept 0.31 · loss 0.002"


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks, and nobody has said how wide it is."""
    monkeypatch.delenv("COLUMNS", raising=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_on_a_narrow_terminal_the_note_is_truncated_and_the_other_columns_are_complete(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "errors", console._Console(80, stderr=True))
    with console.progress_bars() as bars:
        bars.add_task("train: srl-rlvr", total=2.0, completed=1, note=NOTE)
    (line,) = lines(capsys)
    assert len(line) <= 80
    assert "train: srl-rlvr" in line
    assert re.search(r" 50% 0:00:\d\d left [-\d:]{7} rlvr, update 5", line)
    assert line.endswith("…")


def test_a_note_is_shown_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress_bars() as bars:
        bars.add_task("reading", total=1.0, note="[red]rows[/] of x[0]")
    assert "[red]rows[/] of x[0]" in lines(capsys)[0]


def test_progress_is_printed_into_a_log_at_intervals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_LOG_EVERY_S", 0.01)
    reported: list[str] = []
    with console.progress_bars() as bars:
        task = bars.add_task("train", total=1.0, note=NOTE)
        for share in (0.25, 0.5):
            bars.update(task, completed=share)
            until = time.monotonic() + 10
            while not any(f"{share:.0%}" in line for line in reported) and time.monotonic() < until:
                reported += lines(capsys)
                time.sleep(0.01)
    assert any("25%" in line and line.rstrip().endswith("loss 0.002") for line in reported)
    assert any("50%" in line for line in reported)


def test_transient_bars_leave_nothing_in_a_short_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.progress_bars(transient=True) as bars:
        bars.add_task("reading", total=1.0, note="")
    assert lines(capsys) == []


UNSEEN = [
    "\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x07", "\x08", "\r",
    "\x9b31m", "\x9d0;title\x9c", "\x7f", "\x00", "\u202e", "\u2066", "\u200b", "\u2028",
    "\ufeff", "\ud800", "\U000e0041",
]  # fmt: skip


@pytest.mark.parametrize("hostile", UNSEEN)
def test_nothing_of_unknown_origin_moves_the_cursor_or_makes_a_link(hostile: str) -> None:
    shown = console._Console(100, stderr=False)
    grid = Table(title=hostile)
    grid.add_column(f"a{hostile}")
    grid.add_row(Text(f"b{hostile}", style="red"))
    with shown.capture() as captured:
        shown.print(hostile, markup=False)
        shown.print(Panel(Group(Text(f"c{hostile}"), grid), title=escape(hostile)))
        console.output.print(hostile, style="red", soft_wrap=True)
    printed = captured.get()
    assert escaped(printed) == printed
    printed.encode()
    assert all(mark in printed for mark in "abc")


def test_an_error_is_one_line_without_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    @one_line_errors
    def command() -> None:
        raise BadData("rows.jsonl:1: \x1b]8;;http://evil.example\x07 \u202e \ud800 is no row")

    with pytest.raises(typer.Exit):
        command()
    said = capsys.readouterr().err
    assert said == (
        r"error: rows.jsonl:1: \x1b]8;;http://evil.example\x07 \u202e \ud800 is no row" + "\n"
    )

"""Progress as it is shown: on narrow terminals, and in logs."""

import re
import time

import pytest

from srl_agents import console

pytestmark = pytest.mark.usefixtures("piped")
NOTE = "rlvr, update 5 · reward 0.32 · right 0.2 · kept 0.31 · loss 0.002"


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks, and nobody has said how wide it is."""
    monkeypatch.delenv("COLUMNS", raising=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_where_a_line_is_short_the_note_is_cut_and_share_and_times_are_whole(
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


def test_a_log_is_told_at_intervals_how_far_things_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_LOG_EVERY_S", 0.01)
    told: list[str] = []
    with console.progress_bars() as bars:
        task = bars.add_task("train", total=1.0, note=NOTE)
        for share in (0.25, 0.5):
            bars.update(task, completed=share)
            until = time.monotonic() + 10
            while not any(f"{share:.0%}" in line for line in told) and time.monotonic() < until:
                told += lines(capsys)
                time.sleep(0.01)
    assert any("25%" in line and line.rstrip().endswith("loss 0.002") for line in told)
    assert any("50%" in line for line in told)


def test_passing_bars_leave_nothing_in_a_log_that_ends_before_it_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.progress_bars(transient=True) as bars:
        bars.add_task("reading", total=1.0, note="")
    assert lines(capsys) == []

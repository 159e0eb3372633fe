"""The example with TRL's trainer: rewards rise within its first updates."""

from __future__ import annotations

import pytest

pytest.importorskip("trl")

from examples.trl_trainer import main

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def test_rewards_rise(capsys: pytest.CaptureFixture[str]) -> None:
    rewards = main(["--updates", "12", "--sampler", "own", "--problems", "4"])
    assert len(rewards) == 12
    assert sum(rewards[-3:]) > sum(rewards[:3]) + 0.5
    shown = capsys.readouterr().out
    assert "updates    1 …    1   reward" in shown
    assert "16 rows; infrastructure failures: none" in shown

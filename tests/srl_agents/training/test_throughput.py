"""The model of throughput, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from srl_agents.training.throughput import Gpu, Rates, Task, predict_throughput, rates_on

RATES = Rates(update_s=2.0, job_s=3.0, groups=8, workers=8, max_staleness=1, job_groups=2.0)
"""4 jobs of 3 s on 8 workers: 1.5 s, if nothing else counted."""


@pytest.mark.parametrize(
    ("changes", "seconds", "idle", "staleness", "bound"),
    [
        ({"max_staleness": 0}, 5.0, 0.6, 0.0, "staleness"),  # 3 s, then 2 s
        ({"max_staleness": 0, "workers": 2}, 8.0, 0.75, 0.0, "staleness"),  # two jobs each
        ({}, 2.5, 0.2, 1.0, "staleness"),  # (3 + 2) / 2
        ({"max_staleness": 2}, 2.0, 0.0, 2.0, "learner"),  # (3 + 2) / 3 is less than 2
        ({"workers": 3}, 4.0, 0.5, 0.75, "workers"),  # 4 jobs of 3 s on 3; a job is 3/4 of 4 s
        ({"max_staleness": 2, "push_s": 0.5}, 2.5, 0.0, 2.0, "learner"),
        ({"load_s": 1.0}, 3.0, 1 / 3, 1.0, "staleness"),  # (3 + 1 + 2) / 2
        ({"workers": 3, "load_s": 1.0}, 5.0, 0.6, 0.6, "workers"),
        # Each second a tenth of a worker fails; that costs 1.5 s of work and 8.5 s of waiting.
        ({"failures_per_s": 0.1, "recovery_s": 8.5}, 4.0, 0.5, 1.0, "staleness"),
        ({"restarts_per_s": 0.01, "restart_s": 20.0}, 3.0, 0.2, 1.0, "staleness"),  # 1.2 times
    ],
)
def test_the_largest_bound_is_the_time_of_an_update(
    changes: dict[str, float], seconds: float, idle: float, staleness: float, bound: str
) -> None:
    found = predict_throughput(replace(RATES, **changes))
    assert found.seconds == pytest.approx(seconds)
    assert found.idle_fraction == pytest.approx(idle)
    assert found.staleness == pytest.approx(staleness)
    assert found.bound == bound


def test_the_slowest_of_the_jobs_that_begin_together_is_waited_for() -> None:
    alone = predict_throughput(replace(RATES, job_groups=8.0, job_std_s=1.0))
    assert alone.seconds == pytest.approx(2.5)  # one job, so its mean
    four = predict_throughput(replace(RATES, job_std_s=1.0))
    assert four.seconds == pytest.approx(3.03, abs=0.02)  # 1.03 is the mean maximum of four; / 2


def test_the_rates_of_gpus_follow_from_memory_bandwidth_and_operations() -> None:
    task = Task(1e9, 1e5, 100, 50, 4, wait_s=2.0, wait_std_s=1.0, groups=16, group_size=8,
                transfer_s=3.0)  # fmt: skip
    gpu = Gpu(memory_bytes=10e9, bytes_per_s=1e12, flops_per_s=1e14, hours=1000.0)
    assert rates_on(task, learners=2, samplers=2, max_staleness=1, gpu=gpu) is None  # 8 GB of 6
    rates = rates_on(task, learners=4, samplers=2, max_staleness=1, gpu=gpu)
    assert rates is not None
    # Keys and values of 300 tokens are 30 MB; 7 GB hold 233 episodes, and there are 64 for each.
    assert rates.workers == 16
    assert rates.job_s == pytest.approx(4 * (50 * (2e9 + 64 * 15e6) / 1e12 + 2.0))
    assert rates.job_std_s == pytest.approx(2.0)
    assert rates.update_s == pytest.approx(8e9 * 128 * 300 / 4e14)
    assert rates.restarts_per_s == pytest.approx(4 / 3.6e6)
    assert rates.load_s == 3.0


def test_the_page_reports_predictions_within_a_fifth_of_what_was_measured() -> None:
    page = (Path(__file__).parents[3] / "docs/throughput.md").read_text(encoding="utf-8")
    section = page.split("## Checked against measured runs")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines()]
    rows = [line for line in lines if line[0].isdigit()]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    for _, measured, *_, predicted in rows:
        assert float(predicted) == pytest.approx(float(measured), rel=0.2)

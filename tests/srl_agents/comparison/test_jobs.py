"""Jobs of a comparison: parts of runs, kills, failures, and what is said to be missing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from srl_agents.cli import app
from srl_agents.comparison import scheduler
from srl_agents.comparison.config import CompareConfig, Job, make_compare_config, plan
from srl_agents.comparison.scheduler import _Ended, _Scheduler, compare
from srl_agents.comparison.state import saved_comparison
from srl_agents.comparison.worker import _interrupted_at, run_job
from srl_agents.evaluation.contrasts import RunOutcome
from srl_agents.evaluation.rows import read_row, read_rows, write_row
from srl_env.errors import BadOption
from tests.srl_agents import letters

Tree = dict[str, Any]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(letters.save_base(tmp_path_factory.mktemp("base")))


def config(out: Path, base: str, **changes: Any) -> CompareConfig:
    """A run of SRL on the letters a and b, evaluated on c and d, and elsewhere."""
    run = letters.settings(Path(base), out)
    run = {key: value for key, value in run.items() if key not in ("out", "method")}
    run["env"] = {"id": letters.__file__, "options": {"letters": "ab"}}
    run["budget"] = {"tokens": 2000}
    scored = {"split": "dev", "problems": 2, "rollouts": 2, "max_tokens": 4, "max_steps": 2}
    return make_compare_config(
        {
            "out": str(out),
            "methods": ["srl"],
            "run": run,
            "base": False,
            "evaluation": scored,
            "curve": {"every_s": "off"},
            "transfer": {"more": scored | {"id": letters.__file__, "options": {"letters": "a"}}},
        }
        | changes
    )


def begun(settings: CompareConfig) -> Job:
    """The first job, with its folder."""
    job = plan(settings)[0]
    job.folder.mkdir(parents=True)
    (job.folder / "job.json").write_text(json.dumps(job.to_json()))
    return job


def made(row: RunOutcome) -> tuple[object, ...]:
    """What a row says that does not depend on time and place."""
    assert row.result is not None
    return row.updates, row.tokens, row.result.scores, row.transfer["more"].scores


def quiet(phase: str, fraction: float, note: str) -> None:
    """Reports nothing."""


# Parts of a run


def test_a_run_that_many_jobs_made_is_that_of_one(tmp_path: Path, base: str) -> None:
    whole = begun(config(tmp_path / "whole", base))
    parts = begun(config(tmp_path / "parts", base))
    one = run_job(whole.folder, tmp_path / "rows-whole", quiet)
    assert one.updates > 2
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_job(parts.folder, tmp_path / "rows-parts", quiet, seconds=0.0)
    assert not list((tmp_path / "rows-parts").glob("*"))
    several = run_job(parts.folder, tmp_path / "rows-parts", quiet)
    assert (one.jobs, several.jobs) == (1, 3)
    assert made(several) == made(one)
    assert made(read_row(tmp_path / "rows-parts" / "srl-0.parquet")) == made(one)


def test_an_evaluation_is_interrupted_when_its_job_has_used_its_time() -> None:
    with pytest.raises(KeyboardInterrupt), _interrupted_at(time.monotonic() + 0.1):
        time.sleep(60)
    with _interrupted_at(time.monotonic() + 60):
        pass


KILLED = """
import os, pathlib, signal, sys
from srl_agents.comparison import worker

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def evaluate(*arguments, evaluate=worker.evaluate, **options):
    progress = options["on_progress"]
    options["on_progress"] = lambda done, total: die() if done else progress(done, total)
    return evaluate(*arguments, **options)

def rename(path, target, replace=pathlib.Path.replace):
    return die() if path.name.endswith(".parquet.part") else replace(path, target)

at = sys.argv.pop(1)
if at == "training":
    worker.Curve.update = die
elif at == "evaluation":
    worker.evaluate = evaluate
else:
    pathlib.Path.replace = rename
worker.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", ["training", "evaluation", "row"])
def test_a_run_survives_a_kill(at: str, tmp_path: Path, base: str) -> None:
    whole = begun(config(tmp_path / "whole", base))
    one = run_job(whole.folder, tmp_path / "rows", quiet)
    settings = config(tmp_path / "killed", base)
    job = begun(settings)
    command = [sys.executable, "-c", KILLED, at, str(job.folder), str(settings.rows_folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait() == -signal.SIGKILL
    assert read_rows(settings.rows_folder) == []
    comparison = compare(settings)
    assert comparison.missing == []
    assert made(comparison.runs[0]) == made(one)
    assert comparison.runs[0].jobs == 2


# Failures


def scheduled(
    monkeypatch: pytest.MonkeyPatch, settings: CompareConfig, ends: dict[str, list[_Ended]]
) -> dict[str, str]:
    """{run: error}, where the jobs of each run end as given."""
    monkeypatch.setattr(_Scheduler, "_job", lambda self, job: ends[job.folder.name].pop(0))
    jobs = plan(settings)
    errors = _Scheduler(settings, lambda progress: None).run(jobs)
    return {folder.name: error for folder, error in errors.items()}


def test_a_run_is_left_out_after_three_failures_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(tmp_path, "m", seeds=[0, 1, 2, 3, 4])
    died, done = _Ended("died"), _Ended(finished=True)
    ends = {
        "srl-0": [died, died, died],
        "srl-1": [died, died, done],
        "srl-2": [died, died, _Ended(fraction=0.5), died, died, done],
        "srl-3": [_Ended("no such split", final=True)],
        "srl-4": [_Ended(fraction=0.25)] * 4,
    }
    errors = scheduled(monkeypatch, settings, ends)
    assert errors == {
        "srl-0": "failed 3 times, last: died",
        "srl-3": "no such split",
        "srl-4": "failed 3 times, last: no progress in job_minutes = 20.0",
    }
    assert not any(ends.values())


def test_a_full_disk_fails_a_run_and_the_others_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(job: Job) -> None:
        if job.seed == 0:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(scheduler, "prepare", full)
    settings = config(tmp_path, "m", seeds=[0, 1])
    errors = scheduled(monkeypatch, settings, {"srl-1": [_Ended(finished=True)]})
    assert list(errors) == ["srl-0"]
    assert "failed 3 times, last: OSError: [Errno 28] No space left on device" in errors["srl-0"]


def test_a_missing_base_is_missing_at_the_end_and_the_report_needs_rows_only(
    tmp_path: Path, base: str
) -> None:
    none = str(tmp_path / "none")
    tree = config(tmp_path / "c", base).model_dump(mode="json", exclude_unset=True)
    tree["run"] = {key: value for key, value in tree["run"].items() if key != "model"}
    file = tmp_path / "study.json"
    file.write_text(json.dumps(tree | {"bases": [base, none]}))
    result = CliRunner().invoke(app, ["compare", str(file)])
    assert result.exit_code == 1
    assert f"missing: srl seed 0 from {none}: BadOption: no folder" in result.output
    again = f"1 of 2 runs are missing. Make them with:\n  srl-env compare {file}"
    assert again in result.output
    (row,) = read_rows(tmp_path / "c" / "rows")
    assert row.base == base

    # From the rows alone, elsewhere.
    shutil.rmtree(tmp_path / "c" / "runs")
    result = CliRunner().invoke(app, ["compare", str(file), "--report", str(tmp_path / "r")])
    assert result.exit_code == 0
    assert f"missing: srl seed 0 from {none}: not finished" in result.output
    assert (tmp_path / "r" / "report.html").is_file()


def test_rows_of_different_weights_are_refused_before_any_run(tmp_path: Path, base: str) -> None:
    settings = config(tmp_path, base, seeds=[0, 1, 2])
    for job, weights in zip(plan(settings)[:2], ("ab", "cd"), strict=True):
        row = RunOutcome("srl", job.seed, str(job.folder), model=base, weights=weights)
        write_row(replace(row, settings=job.to_json()), settings.rows_folder)
    with pytest.raises(BadOption, match="must start from the same weights of .* Fix: delete"):
        compare(settings)
    with pytest.raises(BadOption, match="must start from the same weights"):
        saved_comparison(settings)
    assert not (tmp_path / "runs").exists()


def test_a_base_that_is_not_that_of_the_rows_is_refused(tmp_path: Path, base: str) -> None:
    settings = config(tmp_path, base)
    write_row(RunOutcome("rlvr", 7, "rlvr-7", model=base, weights="ab"), settings.rows_folder)
    job = begun(settings)
    with pytest.raises(BadOption, match="same weights of .*; got ab in rlvr seed 7 and"):
        run_job(job.folder, settings.rows_folder, quiet)
    assert not Path(job.run.out).exists()


def test_a_run_with_a_row_is_not_made_again_and_newer_settings_have_their_defaults(
    tmp_path: Path,
) -> None:
    settings = config(tmp_path, "runs/gone")
    job = plan(settings)[0]
    older = job.to_json()
    del older["transfer"], older["run"]["evaluation"]
    row = RunOutcome(
        "srl", 0, str(job.folder), settings=older | {"transfer": job.to_json()["transfer"]}
    )
    write_row(row, settings.rows_folder)
    assert [run.error for run in compare(settings).runs] == [None]
    other = config(tmp_path, "runs/gone")
    other.run["budget"] = {"tokens": 2001}
    with pytest.raises(BadOption, match=r"the row srl-0 holds a run with other settings .*budget"):
        compare(other)

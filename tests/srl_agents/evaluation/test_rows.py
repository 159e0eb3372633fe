"""Rows of finished runs: written, read, and refused."""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest

from srl_agents.evaluation.contrasts import CurvePoint, RunOutcome, TrainingPoint
from srl_agents.evaluation.rows import check_weights, read_row, read_rows, row_path, write_row
from srl_agents.evaluation.scoring import EvalResult
from srl_env.errors import BadData, BadOption


def result(**scores: tuple[float, ...]) -> EvalResult:
    return EvalResult(
        policy="srl",
        env="e",
        source="s/test",
        problem_ids=("p0", "p1"),
        scores=scores,
        episodes=16,
        failures={"VerifierTimeout": 1},
        settings={"rollouts": 8, "ks": [1, 8]},
        seconds=2.5,
        usage={"requests": 3.0},
        policy_faults=1,
        notes=("a note",),
    )


def outcome(name: str = "srl-3", **changes: Any) -> RunOutcome:
    made = RunOutcome(
        "srl",
        3,
        f"runs/x/runs/{name}",
        seconds=1.5,
        updates=7,
        tokens=1234,
        result=result(legal=(0.5, 0.25)),
        curve=(CurvePoint(1.0, 2, 0.125),),
        training=(TrainingPoint(0.5, 1, "srl", None, 0.75),),
        warnings=("careful",),
        transfer={"other": result(greedy=(1.0, 0.0))},
        model="models/base",
        weights="ab12",
        commit="cd34",
        processor="some CPU",
        jobs=2,
        settings={"run": {"seed": 3}},
    )
    return replace(made, **changes)


def test_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write_row(outcome(), tmp_path / "rows")
    assert path == row_path(tmp_path / "rows", "srl-3")
    assert read_row(path) == replace(outcome(), folder="srl-3")
    assert [p.name for p in path.parent.iterdir()] == ["srl-3.parquet"]


def test_a_problem_without_a_score_stays_without_one(tmp_path: Path) -> None:
    row = read_row(write_row(outcome(result=result(legal=(nan, 1.0))), tmp_path))
    assert row.result is not None
    assert isnan(row.result.scores["legal"][0])
    assert row.result.scores["legal"][1] == 1.0


def test_rows_are_read_by_name_and_drafts_of_killed_processes_are_not(tmp_path: Path) -> None:
    for name in ("srl-3", "base"):
        write_row(outcome(name), tmp_path)
    (tmp_path / ".rlvr-0.parquet.part").write_bytes(b"PAR1")
    assert [row.folder for row in read_rows(tmp_path)] == ["base", "srl-3"]
    assert read_rows(tmp_path / "nowhere") == []


def test_a_row_that_cannot_be_written_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_row(outcome(), tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_row(outcome(updates=8), tmp_path)
    assert [row.updates for row in read_rows(tmp_path)] == [7]
    assert [p.name for p in tmp_path.iterdir()] == ["srl-3.parquet"]


def test_a_file_that_is_not_a_row_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "srl-3.parquet").write_bytes(b"half a row")
    with pytest.raises(BadData, match=r"srl-3\.parquet: must hold the row of .* Fix: delete it"):
        read_rows(tmp_path)


def test_rows_that_started_from_different_weights_are_refused(tmp_path: Path) -> None:
    write_row(outcome("srl-3"), tmp_path)
    write_row(outcome("srl-4", weights="ef56", seed=4), tmp_path)
    with pytest.raises(BadOption, match="weights of models/base; got ab12 in srl seed 3 and ef56"):
        read_rows(tmp_path)
    check_weights([outcome(), outcome(model="models/another", weights="ef56")])
    check_weights([outcome(weights=""), outcome(), outcome(weights="")])

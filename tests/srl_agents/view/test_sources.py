"""What lies in a folder is recognised, and what does not is said plainly."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from srl_agents.evaluation.contrasts import Comparison, CurvePoint, RunOutcome, TrainingPoint
from srl_agents.evaluation.results import write_result
from srl_agents.evaluation.scoring import EvalResult
from srl_agents.view.sources import find_runs, run_series, score_rows
from srl_env.errors import BadData, BadOption
from tests.srl_agents.view.rows import episode, group, step, training_run, write_lines


def result(*scores: float) -> EvalResult:
    ids = tuple(f"p{i}" for i in range(len(scores)))
    return EvalResult("runs/x", "srl/X-v0", "x/test", ids, {"pass@1": scores}, 4, {}, {}, 1.0)


def test_a_training_run_has_its_updates_rollouts_and_tokenizer(tmp_path: Path) -> None:
    (run,) = find_runs([training_run(tmp_path / "first", group("abc"))])
    assert (run.name, run.method, run.seed, run.env) == ("first", "srl", 7, "srl/ModularChain-v0")
    assert [update["reward"] for update in run.updates] == [0.1, 0.4, 0.7]
    assert run.rollouts == (("training", tmp_path / "first" / "rollouts"),)
    assert run.tokenizer == tmp_path / "first" / "model" / "tokenizer.json"
    assert run.notes == ()


def test_a_run_on_several_environments_names_them_all(tmp_path: Path) -> None:
    folder = training_run(tmp_path / "run", group("abc"))
    settings = json.loads((folder / "config.json").read_text())
    envs = [{"id": "srl/ModularChain-v0", "options": {"difficulty": 2}}, {"id": "srl/GSM8K-v0"}]
    (folder / "config.json").write_text(json.dumps(settings | {"env": None, "envs": envs}))
    (run,) = find_runs([folder])
    assert (run.env, run.options) == ("srl/ModularChain-v0, srl/GSM8K-v0", {})


def test_runs_of_one_method_that_were_set_up_differently_are_methods_of_their_own(
    tmp_path: Path,
) -> None:
    folders = [training_run(tmp_path / name) for name in ("a", "b", "c")]
    for folder, seed, lr in zip(folders, (0, 1, 0), (0.1, 0.1, 0.2), strict=True):
        file = folder / "config.json"
        settings = json.loads(file.read_text()) | {"seed": seed, "optimizer": {"lr": lr}}
        file.write_text(json.dumps(settings))
    assert [run.method for run in find_runs(folders[:2])] == ["srl", "srl"]
    assert [run.method for run in find_runs(folders)] == ["srl (a)", "srl (a)", "srl (c)"]


def test_events_are_no_updates_and_warnings_are_notes(tmp_path: Path) -> None:
    folder = training_run(tmp_path / "run")
    event = {"update": 3, "stage": "srl", "event": "stage_end", "reason": "its budget"}
    warning = {"update": 2, "stage": "srl", "event": "warning", "reason": "no group was kept"}
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in (warning, event))
    (run,) = find_runs([folder])
    assert len(run.updates) == 3
    assert run.events == ((3, "srl", "its budget"),)
    assert "no group was kept" in run.notes


def test_a_comparison_is_its_runs_with_scores_and_curves(tmp_path: Path) -> None:
    points = (TrainingPoint(1.0, 1, "srl", 0.2, 0.5), TrainingPoint(2.0, 2, "srl", 0.4, None))
    curve = (CurvePoint(0.0, 0, 0.0), CurvePoint(2.0, 2, 0.5))
    outcomes = [
        RunOutcome("srl", seed, "gone", 2.0, 2, 50, result(level, level), curve, points)
        for seed, level in ((0, 0.25), (1, 0.75))
    ]
    failed = RunOutcome("rlvr", 0, "gone", error="WorldFailure: gone")
    Comparison({}, (*outcomes, failed)).save(tmp_path)
    runs = find_runs([tmp_path])
    assert [run.name for run in runs] == ["srl seed 0", "srl seed 1", "rlvr seed 0"]
    assert runs[1].scores["pass@1"].value == 0.75
    assert runs[2].notes == ("This run failed: WorldFailure: gone",)
    (row,) = score_rows(runs)
    assert (row.method, row.seeds, row.scores["pass@1"].value) == ("srl", (0, 1), 0.5)
    dev = run_series(runs[0], "dev", "seconds")
    assert dev is not None
    assert (dev.x.tolist(), dev.y.tolist()) == ([0.0, 2.0], [0.0, 0.5])
    kept = run_series(runs[0], "groups/informative_fraction", "update")
    assert kept is not None
    assert kept.y.tolist() == [0.5]


def test_an_evaluation_has_its_scores_and_its_policy(tmp_path: Path) -> None:
    folder = tmp_path / "eval"
    write_lines(folder / "episodes/000000.jsonl", [episode(step("abc"), update=None)])
    settings = {"policy": "runs/first", "env": "srl/X-v0", "arguments": {"difficulty": 2}}
    (folder / "settings.json").write_text(json.dumps(settings | {"split": "test"}))
    assert find_runs([folder])[0].notes == ("This evaluation is not finished.",)
    write_result(folder, result(1.0, 0.0))
    (run,) = find_runs([folder])
    assert (run.method, run.env) == ("x", "srl/X-v0")
    assert run.options == {"difficulty": 2, "split": "test"}
    assert run.scores["pass@1"].value == 0.5


def test_a_file_of_rollouts_is_a_run_too(tmp_path: Path) -> None:
    (run,) = find_runs([write_lines(tmp_path / "some.jsonl", group("a", "b"))])
    assert run.rollouts == (("training", tmp_path / "some.jsonl"),)


def test_runs_of_the_same_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    runs = find_runs([training_run(tmp_path / where / "run") for where in ("a", "b")])
    assert [run.name for run in runs] == ["run (a)", "run (b)"]


def test_a_half_written_last_line_is_left_out_and_said(tmp_path: Path) -> None:
    folder = training_run(tmp_path / "run", group("abc"))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"update": 4, "rew')
    (run,) = find_runs([folder])
    assert len(run.updates) == 3
    assert "metrics.jsonl is unfinished" in run.notes[0]


def test_a_damaged_line_in_the_middle_names_file_and_line(tmp_path: Path) -> None:
    folder = training_run(tmp_path / "run", group("abc"))
    (folder / "metrics.jsonl").write_text('{"update": 1}\n{"upd\n{"update": 3}\n')
    with pytest.raises(BadData, match=r"metrics\.jsonl:2: not JSON"):
        find_runs([folder])


def test_a_folder_that_is_not_there_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"nothing does not exist. Fix: give the folder of a run"):
        find_runs([tmp_path / "nothing"])


def test_a_folder_that_is_no_run_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BadOption, match=r"is not a run. It holds notes\.txt. Fix: give"):
        find_runs([tmp_path])


def test_a_folder_of_runs_names_them(tmp_path: Path) -> None:
    training_run(tmp_path / "first")
    with pytest.raises(BadOption, match=r"The runs in it are first"):
        find_runs([tmp_path])


def test_an_empty_run_is_said_to_be_empty(tmp_path: Path) -> None:
    folder = training_run(tmp_path / "run")
    for name in ("metrics.jsonl", "rollouts/000000.jsonl"):
        (folder / name).write_text("")
    with pytest.raises(BadOption, match=r"is empty: no update, no score and no rollout"):
        find_runs([folder])


def test_a_run_without_rollouts_says_how_they_are_logged(tmp_path: Path) -> None:
    (run,) = find_runs([training_run(tmp_path / "run")])
    assert "log.rollouts_every is 1" in run.notes[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["run", "run/metrics.jsonl"])
def test_what_may_not_be_read_is_named(tmp_path: Path, name: str) -> None:
    training_run(tmp_path / "run")
    (tmp_path / name).chmod(0)
    try:
        with pytest.raises(BadOption, match=re.escape(f"{name} cannot be read: Permission")):
            find_runs([tmp_path / "run"])
    finally:
        (tmp_path / name).chmod(0o700)

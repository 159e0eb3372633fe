"""Comparisons of tiny runs: configuration, one run, and all of them through processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srl_agents.comparison.config import Job, load_compare_config, make_compare_config, plan
from srl_agents.comparison.input_checks import check_bases
from srl_agents.comparison.scheduler import JobProgress, compare
from srl_agents.comparison.worker import run_job, training_points
from srl_agents.evaluation.contrasts import BASE, Comparison
from srl_agents.evaluation.episodes import EpisodeLog
from srl_agents.evaluation.rows import read_row
from srl_agents.models.small import build, character_tokenizer
from srl_agents.runs.settings import with_overrides
from srl_env.errors import BadOption, UnknownName, UserError
from srl_tasks.generated.modular_chain import ALPHABET

Tree = dict[str, Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a model that knows nothing."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = character_tokenizer(ALPHABET)
    build("lfm2-0.3m", tokenizer, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def tree(out: Path, model: str, **changes: Any) -> Tree:
    return {
        "out": str(out),
        "methods": ["sft"],
        "run": {
            "env": {
                "id": "srl/ModularChain-v0",
                "options": {"difficulty": 1, "split": "train", "max_problems": 20, "max_steps": 3},
            },
            "model": {"path": model},
            "budget": {"updates": 3},
            "train": {
                "batch": 2,
                "objective": {"group_size": 2, "max_groups": 1, "max_tokens": 8},
            },
            "checkpoint": {"every": 1},
            "log": {"tensorboard": False},
        },
        "evaluation": {"problems": 2, "rollouts": 2, "ks": [1, 2], "max_tokens": 8},
        "curve": {"problems": 2, "rollouts": 1, "every_s": 1e-9},
    } | changes


# Configuration


def test_the_plan_is_the_base_model_then_each_seed_of_each_method() -> None:
    config = make_compare_config(tree(Path("x"), "m", methods=["srl", "rlvr"], seeds=[3, 4]))
    jobs = plan(config)
    assert [(job.method, job.seed, job.train) for job in jobs] == [
        (BASE, 0, False),
        ("srl", 3, True),
        ("rlvr", 3, True),
        ("srl", 4, True),
        ("rlvr", 4, True),
    ]
    assert jobs[1].run.out == "x/runs/srl-3/run"
    assert (jobs[1].run.method, jobs[1].run.seed) == ("srl", 3)
    assert plan(make_compare_config(tree(Path("x"), "m", base=False)))[0].method == "sft"


def test_all_methods_start_from_one_model_that_knows_the_form() -> None:
    given = tree(Path("x"), "m", methods=["srl", "rlvr"], seeds=[3, 4])
    jobs = plan(make_compare_config(given | {"form": {"budget": {"updates": 7}}}))
    assert [(job.method, job.run.model.path) for job in jobs[:4]] == [
        (BASE, "m"),
        ("form", "m"),
        ("srl", "x/runs/form-0/run/model"),
        ("rlvr", "x/runs/form-0/run/model"),
    ]
    assert (jobs[1].run.budget.updates, jobs[2].run.budget.updates) == (7, 3)
    bases = on_bases(Path("x"), "m/one", "m/two") | {"form": {"budget": {"updates": 7}}}
    assert [(job.method, job.base, job.run.model.path) for job in plan(make_compare_config(bases))][
        2:
    ] == [
        ("form", "m/one", "m/one"),
        ("form", "m/two", "m/two"),
        ("sft", "m/one", "x/runs/form-m_one-0/run/model"),
        ("sft", "m/two", "x/runs/form-m_two-0/run/model"),
    ]
    with pytest.raises(BadOption, match="methods must not name 'form' where all methods start"):
        make_compare_config(given | {"form": {"budget": {"updates": 7}}, "methods": ["form"]})
    with pytest.raises(BadOption, match=r"form\.budget"):
        make_compare_config(given | {"form": {}})


def test_a_comparison_makes_the_form_first_and_once(tmp_path: Path, model: str) -> None:
    given = tree(tmp_path, model, base=False, seeds=[0, 1])
    given |= {"form": {"budget": {"updates": 1}, "train": given["run"]["train"]}}
    given["curve"] = {**given["curve"], "every_s": "off"}
    given["run"]["budget"] = {"updates": 1}
    comparison = compare(make_compare_config(given))
    assert [(o.method, o.seed, o.error) for o in comparison.runs] == [
        ("form", 0, None),
        ("sft", 0, None),
        ("sft", 1, None),
    ]
    formed = (tmp_path / "runs/form-0/run/model/model.safetensors").stat().st_mtime_ns
    begun = [(tmp_path / f"runs/sft-{n}/run/config.json").stat().st_mtime_ns for n in (0, 1)]
    assert formed < min(begun)


def on_bases(out: Path, *bases: str, **changes: Any) -> Tree:
    given = tree(out, "", bases=list(bases), **changes)
    del given["run"]["model"]
    return given


def test_every_method_starts_from_every_base_with_every_seed() -> None:
    config = make_compare_config(on_bases(Path("x"), "m/one", "m/two", seeds=[3, 4]))
    jobs = plan(config)
    assert [(job.method, job.base, job.seed, job.run.model.path) for job in jobs] == [
        (BASE, "m/one", 0, "m/one"),
        (BASE, "m/two", 0, "m/two"),
        ("sft", "m/one", 3, "m/one"),
        ("sft", "m/two", 3, "m/two"),
        ("sft", "m/one", 4, "m/one"),
        ("sft", "m/two", 4, "m/two"),
    ]
    assert [job.folder.name for job in jobs[:3]] == ["base-m_one", "base-m_two", "sft-m_one-3"]
    assert Job.from_json(json.loads(json.dumps(jobs[3].to_json())), jobs[3].folder) == jobs[3]


@pytest.mark.parametrize(
    ("bases", "changes", "message"),
    [
        (["m", "m"], {}, r"bases must differ from each other; got \['m', 'm'\]"),
        (["a/m", "a_m"], {}, "bases must differ from each other"),
        (["m"], {"run": {"model": {"path": "n"}}}, "run.model.path cannot be combined with bases"),
        (
            ["m"],
            {"changes": {"sft": {"model": {"path": "n"}}}},
            "changes.sft.model.path cannot be combined with bases; got 'n'. Fix:",
        ),
    ],
)
def test_bases_that_cannot_be_are_named(bases: list[str], changes: Tree, message: str) -> None:
    given = on_bases(Path("x"), *bases)
    given = {**given, **changes, "run": {**given["run"], **changes.get("run", {})}}
    with pytest.raises(BadOption, match=message):
        make_compare_config(given)


def test_bases_with_the_same_weights_are_refused(tmp_path: Path, model: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    with pytest.raises(BadOption, match="bases must have different weights; got the same in"):
        check_bases([model, str(copy)])
    file = copy / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # the last bit of the last weight
    check_bases([model, str(copy)])
    check_bases([model, str(tmp_path / "nowhere")])  # left to its runs


def test_changes_hold_for_one_method_and_may_name_another() -> None:
    changes = {"srl-hot": {"method": "srl", "train": {"lr": 0.5}}}
    jobs = plan(
        make_compare_config(tree(Path("x"), "m", methods=["srl", "srl-hot"], changes=changes))
    )
    rates = {job.method: job.run.resolved_method.stages[0].lr for job in jobs if job.train}
    assert rates["srl-hot"] == 0.5
    assert rates["srl"] < 0.5


def test_runs_at_the_same_time_are_single_threaded() -> None:
    assert plan(make_compare_config(tree(Path("x"), "m")))[1].run.model.threads is None
    two = make_compare_config(tree(Path("x"), "m", jobs=2))
    assert {job.run.model.threads for job in plan(two)} == {1}


def test_a_job_survives_json() -> None:
    for job in plan(make_compare_config(tree(Path("x"), "m"))):
        assert Job.from_json(json.loads(json.dumps(job.to_json())), job.folder) == job


def test_a_comparison_is_read_from_toml_with_overrides(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        'out = "x"\nmethods = ["srl"]\n[run.env]\nid = "srl/ModularChain-v0"\n'
        '[run.model]\npath = "m"\n[run.budget]\nseconds = 5\n'
    )
    config = load_compare_config(path, ["seeds=[1, 2]", "run.budget.seconds=7"])
    assert config.seeds == (1, 2)
    assert plan(config)[1].run.budget.seconds == 7


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"method": ["srl"]}, UnknownName, "'method'. Did you mean 'methods'"),
        ({"methods": ["slr"]}, UnknownName, "no method 'slr'. Did you mean 'srl'"),
        ({"methods": []}, BadOption, r"methods must have at least 1 item.*; got \[\]"),
        ({"methods": ["srl", "srl"]}, BadOption, "methods must differ"),
        ({"methods": ["base"]}, BadOption, "'base' is the name of the untrained model"),
        ({"seeds": [1, 1]}, BadOption, "seeds must differ"),
        ({"seeds": [-1]}, BadOption, "seeds"),
        ({"changes": {"rvlr": {}}}, UnknownName, "no method 'rvlr'. Did you mean 'rlvr'"),
        (
            {"changes": {"sft": {"budget": {"updates": 9}}}},
            BadOption,
            "changes.sft.budget is set by the comparison, not here. Fix: set run.budget",
        ),
        ({"changes": {"sft": {"seed": 1}}}, BadOption, "changes.sft.seed is set by"),
        ({"changes": {"sft": {"trian": {}}}}, UnknownName, "'changes.sft.trian'. Did you mean 'ch"),
        (
            {"changes": {"sft": {"train": {"lr": "x"}}}},
            BadOption,
            r"^changes\.sft\.train\.lr must be",
        ),
        ({"eval": {"rollouts": 2}}, UnknownName, "'eval'. Did you mean 'evaluation'"),
        ({"seeds": 3}, BadOption, r"seeds must be a list, as \[3\]; got 3"),
        ({"methods": "sft"}, BadOption, r"methods must be a list, as \['sft'\]; got 'sft'"),
        ({"run": 3}, BadOption, "run must be a table of settings; got 3"),
        ({"transfer": {"x": 3}}, BadOption, r"^transfer\.x must be a table with .*; got 3$"),
        (
            {"transfer": {"x": {"problms": 3}}},
            UnknownName,
            r"'transfer\.x\.problms'\. Did you mean",
        ),
        (
            {"curve": {"every_s": float("inf")}},
            BadOption,
            r"curve\.every_s must be a finite number",
        ),
        ({"evaluation": {"problem": 3}}, UnknownName, "Did you mean 'evaluation.problems'"),
        (
            {"evaluation": {"rollouts": 2, "ks": [8]}},
            BadOption,
            r"^evaluation\.ks: .* rollouts, 2; got \[8\]",
        ),
        ({"curve": {"every_s": 0}}, BadOption, "curve.every_s"),
    ],
)
def test_wrong_configurations_say_what_is_wrong(
    changes: Tree, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_compare_config(tree(Path("x"), "m") | changes)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("learning_rate", "run.train.lr"),
        ("run.stages.sft.learning_rate", "run.stages.sft.lr"),
        ("changes.sft.train.learning_rate", "changes.sft.train.lr"),
        ("evaluation.max_new_tokens", "evaluation.max_tokens"),
    ],
)
def test_keys_of_other_trainers_suggest_the_comparisons_own(given: str, meant: str) -> None:
    plain = tree(Path("x"), "m", base=False)
    with pytest.raises(UnknownName, match=f"no .* {given!r}. Did you mean {meant!r}"):
        make_compare_config(with_overrides(plain, [f"{given}=3"]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr=3", "no configuration key 'train'. Did you mean 'run.train'?"),
        ("seed=3", "no configuration key 'seed'. Did you mean 'seeds'?"),
        ("run.budgt.updates=3", "no configuration key 'run.budgt'. Did you mean 'run.budget'?"),
        (
            "run.train.learning_rate=3",
            "no configuration key 'run.train.learning_rate'. Did you mean 'run.train.lr'?",
        ),
        ("run.train.lrr=3", "no configuration key 'run.train.lrr'. Did you mean 'run.train.lr'?"),
        ("run.train.lr=inf", "run.train.lr must be a finite number; got inf"),
        (
            "run.env=srl/X-v0",
            "run.env must be a table with id, options, problems and experts; got 'srl/X-v0'",
        ),
        ("run.budget.seconds=1", "run.budget: give exactly one of updates, seconds, tokens; got"),
    ],
)
@pytest.mark.parametrize("changes", [{}, {"sft": {"train": {"lr": 0.5}}}])
def test_a_mistake_in_what_all_runs_share_is_named_there(
    override: str, message: str, changes: Tree
) -> None:
    with pytest.raises(UserError) as error:
        make_compare_config(
            with_overrides(tree(Path("x"), "m", changes=changes, base=False), [override])
        )
    assert str(error.value).startswith(message)


def test_what_is_missing_is_asked_for_where_a_comparison_has_it() -> None:
    wrong = tree(Path("x"), "m", changes={"sft": {"train": {"lr": 0.5}}})
    del wrong["run"]["model"]
    with pytest.raises(BadOption, match=r"^run\.model is missing .* --set run\.model\.path=FOLDER"):
        make_compare_config(wrong)


def test_off_makes_no_curve() -> None:
    assert make_compare_config(tree(Path("x"), "m", curve={"every_s": "off"})).curve.every_s is None


@pytest.mark.parametrize("key", ["out", "seed", "method"])
def test_what_the_comparison_sets_may_not_be_given(key: str) -> None:
    wrong = tree(Path("x"), "m")
    wrong["run"][key] = "1"
    with pytest.raises(BadOption, match=f"run.{key} is set by the comparison"):
        make_compare_config(wrong)


# One run


def test_training_points_are_averages_of_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [
        {"update": i, "stage": "s", "seconds": float(i), "reward": float(i % 2)}
        for i in range(1, 401)
    ]
    rows.insert(7, {"update": 7, "stage": "s", "event": "stage_end", "reason": "r"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    points = training_points(path)
    assert len(points) == 200
    assert {point.reward for point in points} == {0.5}
    assert (points[-1].update, points[-1].informative_fraction) == (400, None)
    path.write_text("")
    assert training_points(path) == []


def write_job(folder: Path, job: Job) -> Path:
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(job.to_json()))
    return folder


def test_a_run_is_trained_looked_at_and_evaluated(tmp_path: Path, model: str) -> None:
    job = plan(make_compare_config(tree(tmp_path / "c", model)))[1]
    folder = write_job(tmp_path / "job", job)
    reported: list[tuple[str, float]] = []
    rows = tmp_path / "rows"
    outcome = run_job(folder, rows, lambda phase, share, note: reported.append((phase, share)))
    assert outcome.result is not None
    assert outcome.result.source == "modular_chain/test/1"
    assert (outcome.updates, len(outcome.training)) == (3, 3)
    assert [point.update for point in outcome.curve] == [1, 2, 3]
    assert outcome.seconds == outcome.curve[-1].seconds
    assert reported[0][0] == "training"
    assert reported[-1] == ("evaluating", 1.0)
    assert reported == sorted(reported, key=lambda pair: pair[1])
    assert EpisodeLog(folder / "evaluation" / "episodes").count == 6
    assert replace(read_row(rows / "job.parquet"), folder=outcome.folder) == outcome
    assert (outcome.jobs, len(outcome.weights), outcome.model) == (1, 32, model)
    assert outcome.commit
    assert "cores" in outcome.processor
    assert not (folder / "run" / "checkpoints").exists()


def test_looking_at_a_run_does_not_change_it(tmp_path: Path, model: str) -> None:
    metrics = []
    for every_s in (None, 1e-9):
        settings = tree(tmp_path / "c", model, methods=["rlvr"])
        settings["curve"]["every_s"] = every_s
        job = plan(make_compare_config(settings))[1]
        folder = write_job(tmp_path / f"job-{every_s}", job)
        outcome = run_job(folder, tmp_path / "rows", lambda *said: None)
        assert len(outcome.curve) == (0 if every_s is None else 3)
        rows = (folder / "run" / "metrics.jsonl").read_text().splitlines()
        metrics.append([{k: v for k, v in json.loads(row).items() if _exact(k)} for row in rows])
    assert metrics[0] == metrics[1]


def _exact(name: str) -> bool:
    """Whether a number of the log depends on nothing but the run itself."""
    return "time" not in name and "_per_s" not in name and name != "seconds"


def test_an_evaluation_on_training_problems_stops_before_any_training(
    tmp_path: Path, model: str
) -> None:
    settings = tree(tmp_path / "c", model)
    settings["curve"]["split"] = "train"
    folder = write_job(tmp_path / "job", plan(make_compare_config(settings))[1])
    with pytest.raises(BadOption, match="were trained on"):
        run_job(folder, tmp_path / "rows", lambda *said: None)
    assert not (folder / "run").exists()


# All of them, through processes


def finished(folder: Path) -> dict[str, int]:
    """{run: when its row was written}."""
    return {p.stem: p.stat().st_mtime_ns for p in folder.glob("rows/*.parquet")}


def test_runs_are_compared_once_and_added_to(tmp_path: Path, model: str) -> None:
    out = tmp_path / "c"
    reported: list[JobProgress] = []
    first = compare(make_compare_config(tree(out, model)), on_progress=reported.append)
    assert [run.error for run in first.runs] == [None, None]
    assert [row.method for row in first.rows] == [BASE, "sft"]
    assert first.runs[1].curve[0].seconds == 0.0
    assert Comparison.load(out / "results.json").rows == first.rows
    assert {p.phase for p in reported} >= {"waiting", "training", "evaluating", "finished"}
    before = finished(out)

    # A further seed: what is there stays. A run that cannot work is listed with its error.
    changes = {"broken": {"method": "sft", "model": {"path": str(tmp_path / "none")}}}
    more = tree(out, model, seeds=[0, 1], methods=["sft", "broken"], changes=changes)
    second = compare(make_compare_config(more))
    after = finished(out)
    assert {name: after[name] for name in before} == before
    assert {(r.method, r.seed) for r in second.runs if not r.error} == {
        (BASE, 0),
        ("sft", 0),
        ("sft", 1),
    }
    errors = [run.error or "" for run in second.of("broken")]
    assert all("no folder" in error for error in errors)

    # Another evaluation is made anew, the training is kept.
    asked = tree(out, model)
    asked["evaluation"]["problems"] = 3
    metrics = out / "runs" / "sft-0" / "run" / "metrics.jsonl"
    trained = metrics.stat().st_mtime_ns
    third = compare(make_compare_config(asked))
    assert third.runs[1].result is not None
    assert len(third.runs[1].result.problem_ids) == 3
    assert metrics.stat().st_mtime_ns == trained

    # Another training is not mixed in.
    other = tree(out, model)
    other["run"]["budget"] = {"updates": 4}
    with pytest.raises(BadOption, match=r"holds a run with other settings \(run: budget\)"):
        compare(make_compare_config(other))


def test_a_worker_that_dies_is_reported_and_replaced(tmp_path: Path, model: str) -> None:
    settings = tree(tmp_path / "c", model, methods=["sft", "rlvr"], base=False)
    config = make_compare_config(settings)
    curve = plan(config)[0].folder / "curve.json"
    curve.parent.mkdir(parents=True)
    curve.write_text("no JSON")  # a fault of ours, not of the user
    comparison = compare(config)
    broken, sound = comparison.runs
    assert broken.error is not None
    assert "its process died with exit code 1" in broken.error
    assert "JSONDecodeError" in broken.error
    assert sound.error is None


@pytest.mark.slow
def test_a_comparison_stops_at_ctrl_c_and_when_killed_and_resumes(
    tmp_path: Path, model: str
) -> None:
    settings = tree(tmp_path / "c", model, jobs=2, seeds=[0, 1])
    settings["run"]["budget"] = {"seconds": 12}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(settings))
    command = [sys.executable, "-c", "from srl_agents.cli import app; app()", "compare", str(path)]
    for stop in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        metrics = list[Path]()
        while len(metrics) < 2:
            time.sleep(0.2)
            metrics = [p for p in tmp_path.glob("c/runs/*/run/metrics.jsonl") if p.stat().st_size]
        os.kill(process.pid, stop)
        said = process.communicate()[1]
        if stop == signal.SIGINT:
            assert process.returncode == 130
            assert f"srl-env compare {path}" in said
            assert list(tmp_path.glob("c/runs/*/run/checkpoints/update-*"))
    time.sleep(5)  # the workers of the killed one find out by themselves
    sizes = [p.stat().st_size for p in metrics]
    time.sleep(3)
    assert sizes == [p.stat().st_size for p in metrics]
    assert subprocess.run(command, check=False).returncode == 0
    runs = Comparison.load(tmp_path / "c" / "results.json").runs
    assert all(run.error is None for run in runs)
    assert all(run.seconds + 2 >= 12 for run in runs if run.method != BASE)

"""Evaluation never uses problems that training has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import srl_env
from srl_agents.evaluation.plan import choose_problems, split_maker
from srl_agents.policies.named import read_spec, trained_decoding
from srl_agents.runs.config import make_config
from srl_agents.runs.evaluation import EvalSettings
from srl_agents.runs.history import check_unseen, run_folder, seen_problems, training_runs
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import Problem

CHAIN = "srl/ModularChain-v0"


def write_run(folder: Path, model: str, **changes: Any) -> Path:
    """A finished run's folder, with everything but weights."""
    tree = {
        "out": str(folder),
        "env": {"id": CHAIN, "options": {"difficulty": 3, "max_problems": 20}},
        "model": {"path": model},
        "budget": {"updates": 1},
        "method": "rlvr",
    }
    (folder / "model").mkdir(parents=True)
    (folder / "checkpoints" / "update-000001").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(tree | changes))
    return folder


def problems_of(split: str, **arguments: Any) -> list[Problem]:
    arguments = {"difficulty": 3, "max_problems": 20, **arguments}
    env = split_maker(CHAIN, arguments, split)()
    return [env.problems[i] for i in choose_problems(env.problems, EvalSettings(problems=5))]


def test_a_path_leads_to_the_run_it_came_from(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "hub/name")
    for path in (run, run / "model", run / "checkpoints" / "update-000001"):
        assert run_folder(path) == run
    assert run_folder(tmp_path) is None
    assert run_folder(Path("hub/name")) is None


def test_a_models_own_configuration_is_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert run_folder(tmp_path) is None


def test_runs_are_followed_back_to_the_first(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", "hub/name")
    second = write_run(tmp_path / "second", str(first / "model"), method="srl")
    assert [run.method for run in training_runs(second / "model")] == ["srl", "rlvr"]
    assert training_runs("hub/name") == []


def test_runs_are_followed_back_from_any_directory_and_after_a_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, away = tmp_path / "work", tmp_path / "away"
    write_run(work / "runs" / "first", "hub/name", out="runs/first")
    write_run(work / "runs" / "second", "runs/first/model", out="runs/second", method="srl")
    away.mkdir()
    monkeypatch.chdir(away)
    for path in (work / "runs" / "second", Path("../work/runs/second/model")):
        assert [run.method for run in training_runs(path)] == ["srl", "rlvr"]
    monkeypatch.chdir(work / "runs" / "second" / "model")
    assert [run.method for run in training_runs(".")] == ["srl", "rlvr"]
    monkeypatch.chdir(tmp_path)
    work.rename(away / "moved")
    assert len(training_runs("away/moved/runs/second")) == 2


def test_a_configuration_in_the_history_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", "hub/name", policy={"samplr": "vllm"})
    second = write_run(tmp_path / "second", str(first / "model"))
    with pytest.raises(BadOption, match=r"first/config.json cannot be read as a run's: no config"):
        training_runs(second)


def test_a_missing_history_is_reported(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "runs/gone/model")
    with pytest.warns(UserWarning, match=r"began with runs/gone/model, which no longer exists"):
        assert len(training_runs(run)) == 1


def test_a_run_that_began_with_itself_does_not_loop(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", str(tmp_path / "run" / "model"))
    assert len(training_runs(run)) == 1


def test_training_problems_are_refused_and_others_are_not(tmp_path: Path) -> None:
    runs = training_runs(write_run(tmp_path / "run", "hub/name"))
    check_unseen(problems_of("test"), runs)
    check_unseen(problems_of("dev"), runs)
    check_unseen(problems_of("train", difficulty=4), runs)
    with pytest.raises(BadOption, match=r"5 of the 5 problems were trained on in .*split 'test'"):
        check_unseen(problems_of("train"), runs)


def test_of_a_source_only_the_problems_in_the_runs_file_were_trained_on(tmp_path: Path) -> None:
    problems = problems_of("train")
    (tmp_path / "hard.json").write_text(json.dumps([problems[0].id]))
    env = {"id": CHAIN, "options": {"difficulty": 3, "max_problems": 20}}
    env["problems"] = str(tmp_path / "hard.json")
    runs = training_runs(write_run(tmp_path / "run", "hub/name", env=env))
    check_unseen(problems[1:], runs)
    with pytest.raises(BadOption, match="1 of the 5 problems were trained on"):
        check_unseen(problems, runs)
    (tmp_path / "hard.json").unlink()
    with pytest.raises(BadOption, match="5 of the 5 problems were trained on"):
        check_unseen(problems, runs)


def test_the_training_of_an_earlier_run_counts_too(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", "hub/name")
    second = write_run(
        tmp_path / "second",
        str(first / "model"),
        env={"id": CHAIN, "options": {"difficulty": 5}},
    )
    with pytest.raises(BadOption, match="first"):
        check_unseen(problems_of("train"), training_runs(second))


def test_the_same_text_under_another_id_is_seen() -> None:
    source = ListSource((Problem("a", "1 + 1"), Problem("b", "2 + 2")))
    asked = [Problem("x", "2 + 2"), Problem("a", "3 + 3"), Problem("b", "2 + 2")]
    assert [p.id for p in seen_problems(asked, source)] == ["x", "b"]


def test_large_sources_are_searched_by_id() -> None:
    env = srl_env.make(CHAIN, difficulty=3).unwrapped
    assert isinstance(env, ReasoningEnv)
    assert len(env.problems) > 10**6
    seen = [env.problems[7], Problem("other", "f5,g6,m:g-f?m>")]
    assert seen_problems(seen, env.problems) == seen[:1]


def test_an_environment_without_splits_is_taken_whole() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'difficulty'"):
        split_maker(CHAIN, {"dificulty": 3}, "test")
    assert split_maker(CHAIN, {}, None)().problems.name == "modular_chain/train/7"
    assert split_maker(CHAIN, {}, "dev")().problems.name == "modular_chain/dev/7"


def test_a_run_stands_for_its_model_and_remembers_its_training(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "hub/name")
    spec = read_spec(str(run))
    assert spec.model == str(run / "model")
    assert [config.method for config in spec.runs] == ["rlvr"]
    assert read_spec(str(run / "model")).runs == spec.runs
    assert read_spec("hub/name").runs == ()


def test_an_unfinished_run_says_how_to_resume(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "hub/name")
    (run / "model").rmdir()
    with pytest.raises(BadOption, match=r"train --resume .*run\), or give .*update-000001"):
        read_spec(str(run))


def test_built_in_policies_are_suggested() -> None:
    assert read_spec("expert").model is None
    with pytest.raises(UnknownName, match="Did you mean 'random'"):
        read_spec("randon")
    assert read_spec("gpt2").model == "gpt2"


def test_a_model_is_decoded_as_it_was_trained(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "m", method="holistic")
    assert trained_decoding(training_runs(run)) == {"granularity": "solution", "max_tokens": 1024}
    stepwise = make_config(
        {
            "out": "x",
            "env": {"id": CHAIN},
            "model": {"path": "m"},
            "budget": {"updates": 1},
            "method": "srl-rlvr",
            "train": {"objective": {"max_tokens": 12}},
        }
    )
    assert trained_decoding([stepwise]) == {"granularity": "step", "max_tokens": 12}
    assert trained_decoding([]) == {}

"""What ``make demo`` runs: its settings, and the whole of it in small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import srl_env
from examples.demo.base import Recipe, base_model
from examples.demo.demo import HERE, announce_base, demo_config, run, short_chains_solved
from srl_agents.comparison.config import Job, plan
from srl_agents.objectives import GRPO, NLL
from srl_agents.runs.settings import read_tree

SETTINGS = HERE / "demo.toml"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_model(Recipe(updates=1, rows=2, bare_rows=2), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def jobs(base: Path) -> dict[str, Job]:
    return {job.method: job for job in plan(demo_config(SETTINGS, base, []))}


def test_the_four_methods_get_the_same_time_on_the_same_problems(jobs: dict[str, Job]) -> None:
    assert list(jobs) == ["base", "rlvr", "sft-rlvr", "srl", "srl-rlvr"]
    trained = [job.run for job in jobs.values() if job.train]
    assert all(each.budget == trained[0].budget for each in trained)
    assert all(each.env == trained[0].env for each in trained)


def test_a_stage_is_the_same_in_every_method_but_for_its_time_and_how_its_rate_was_tuned(
    jobs: dict[str, Job],
) -> None:
    found: dict[str, set[object]] = {}
    rates: dict[str, set[float]] = {}
    for job in (job for job in jobs.values() if job.train):
        for stage in job.run.resolved_method.stages:
            rates.setdefault(stage.name, set()).add(stage.lr)
            alike = replace(
                stage, lr=0.0, schedule="constant", fraction=None, until=type(stage.until)()
            )
            found.setdefault(stage.name, set()).add(alike)
    assert {name: len(settings) for name, settings in found.items()} == {
        "rlvr": 1,
        "sft": 1,
        "srl": 1,
    }
    assert rates == {"rlvr": {2e-4, 3e-4}, "sft": {6e-4}, "srl": {3e-4, 6e-4}}  # docs/results.md


def test_demonstrations_show_actions_only(jobs: dict[str, Job]) -> None:
    training = jobs["sft-rlvr"].run
    sft = training.resolved_method.stages[0].objective
    env = srl_env.make(training.env.id, **training.env.options).unwrapped
    assert isinstance(sft, NLL)
    assert sft.demonstration == "outline"
    assert all(step.thought is None for step in env.problems[0].trajectories[0].steps)


def test_development_and_test_problems_are_not_those_trained_on(jobs: dict[str, Job]) -> None:
    job = jobs["srl-rlvr"]
    splits = [job.run.env.options["split"], job.curve.split, job.evaluation.split]
    assert splits == ["train", "dev", "test"]


@pytest.mark.parametrize(
    ("file", "demonstrated"), [("demo.toml", 48), ("all-demonstrated.toml", 300)]
)
def test_the_first_of_the_training_problems_are_demonstrated_and_all_have_an_answer(
    base: Path, file: str, demonstrated: int
) -> None:
    (job, *_) = (job for job in plan(demo_config(HERE / file, base, [])) if job.train)
    problems = srl_env.make(job.run.env.id, **job.run.env.options).unwrapped.problems
    shown = [bool(problem.trajectories) for problem in problems]
    assert shown == [True] * demonstrated + [False] * (300 - demonstrated)
    assert all(problem.answer for problem in problems)


def test_every_step_of_the_longest_problem_fits(jobs: dict[str, Job]) -> None:
    training = jobs["rlvr"].run
    env = srl_env.make(
        training.env.id, **{**training.env.options, "hide_thoughts": False}
    ).unwrapped
    objective = training.resolved_method.stages[0].objective
    assert isinstance(objective, GRPO)
    steps = env.problems[0].trajectories[0].steps
    assert len(steps) <= (objective.max_steps or 0)
    assert max(len(env.format.render(step)) for step in steps) <= objective.max_tokens


def test_a_base_that_was_hardly_trained_is_announced_as_one(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    announce_base(short_chains_solved(base, problems=4))
    said = " ".join(capsys.readouterr().out.split())
    assert "solves 0% of unseen chains of four" in said
    assert "--base-seed 2" in said


def test_of_a_good_base_no_more_is_said_than_how_good_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    announce_base(0.98)
    assert capsys.readouterr().out.strip() == (
        "The base model solves 98% of unseen chains of four definitions."
    )


@pytest.mark.slow
def test_the_demo_trains_compares_and_reports(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = read_tree(SETTINGS)
    tree["changes"] = {method: tree["changes"][method] for method in ("rlvr", "srl-rlvr")}
    file = tmp_path / "small.json"
    file.write_text(json.dumps(tree))
    small = [
        f'out="{tmp_path}/demo"',
        'methods=["rlvr", "srl-rlvr"]',
        "run.budget.seconds=2",
        "evaluation.problems=2",
        "evaluation.rollouts=2",
        "evaluation.ks=[1, 2]",
        "curve.problems=1",
    ]
    run(demo_config(file, base, small))
    assert "Report:" in capsys.readouterr().out
    assert (tmp_path / "demo/report.html").is_file()
    results = json.loads((tmp_path / "demo/results.json").read_text())
    assert [outcome["error"] for outcome in results["runs"]] == [None, None, None]

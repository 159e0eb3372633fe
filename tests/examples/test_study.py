"""The files of the study: what they compare, and that nothing but the method differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.study.bases import BASES
from examples.study.rates import FAMILIES, RATES, best, grid, without_rates
from sitegen.study import FAMILIES as SHOWN
from srl_agents.comparison.config import load_compare_config, plan
from srl_agents.evaluation.contrasts import Comparison, RunOutcome
from srl_agents.evaluation.scoring import EvalResult

STUDY = Path("examples/study")
FILES = sorted(path.stem for path in STUDY.glob("*.toml"))
EIGHT = {"rlvr", "sft-rlvr", "srl", "srl-rlvr", "pivotrl", "adaback", "pi-distill", "superrl"}


def test_the_page_shows_every_file() -> None:
    assert sorted(SHOWN) == FILES


@pytest.mark.parametrize("name", FILES)
def test_every_run_of_a_file_is_valid_and_has_the_same_budget(name: str) -> None:
    config = load_compare_config(STUDY / f"{name}.toml")
    jobs = [job for job in plan(config) if job.train]
    assert len(jobs) == len(config.methods) * 3 * len(config.seeds)
    assert {job.run.budget.tokens for job in jobs} == {1_200_000}
    assert {Path(base).name for base in config.bases} <= set(BASES)
    assert config.evaluation.split == "test"
    assert {job.run.env.options["split"] for job in jobs if job.run.env} == {"train"}
    assert str(config.rows) == f"docs/results/study/{name}"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_methods_of_a_family_differ_in_nothing_but_the_method(family: str) -> None:
    config = load_compare_config(STUDY / f"{family}.toml")
    assert set(config.methods) >= EIGHT
    assert len(config.methods) == (14 if family in ("chains", "stories") else 8)
    assert config.seeds == (1, 2, 3)
    jobs = [job.run for job in plan(config) if job.train]
    assert all(job.env == jobs[0].env for job in jobs)
    assert all(job.optimizer == jobs[0].optimizer for job in jobs)
    assert {stage.batch for job in jobs for stage in job.resolved_method.stages} == {16}


@pytest.mark.parametrize("family", FAMILIES)
def test_rates_are_chosen_on_another_base_and_on_development_problems(family: str) -> None:
    config, tuned = load_compare_config(STUDY / f"{family}.toml"), grid(family)
    assert len(tuned.methods) == len(RATES) * len(config.methods)
    assert not set(tuned.bases) & set(config.bases)
    assert tuned.evaluation.split == "dev"
    assert tuned.rows != config.rows
    jobs = [job for job in plan(tuned) if job.train]
    lrs = {stage.lr for job in jobs for stage in job.run.resolved_method.stages}
    assert lrs == set(RATES)


def test_a_rate_that_was_chosen_before_does_not_reach_the_grid() -> None:
    changes = {"train": {"lr": 1.0, "batch": 2}, "stages": {"srl": {"lr": 2.0}}}
    assert without_rates(changes) == {"train": {"batch": 2}, "stages": {"srl": {}}}


def test_the_best_rate_is_that_with_the_highest_score_of_the_finished_runs() -> None:
    def run(method: str, score: float) -> RunOutcome:
        scores = {"pass@1": (score,)}
        result = EvalResult("p", "e", "s", ("a",), scores, 1, {}, {}, 0.0)
        return RunOutcome(method, 0, method, result=result)

    runs = (run("srl-0.0001", 0.2), run("srl-0.0003", 0.4), run("rlvr-0.001", 0.0))
    assert best(Comparison({}, runs), ["srl", "rlvr", "sft"]) == {"srl": 3e-4, "rlvr": 1e-3}

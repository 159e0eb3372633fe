"""The files of the study: what they compare, and that nothing but the method differs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from examples.study.bases import BASES
from examples.study.rates import FAMILIES, RATES, best, grid, without_rates
from sitegen.study import FAMILIES as SHOWN
from srl_agents.comparison.config import CompareConfig, plan
from srl_agents.evaluation.contrasts import Comparison, RunOutcome
from srl_agents.evaluation.scoring import EvalResult
from srl_agents.runs.config import RunConfig
from srl_agents.runs.settings import read_tree, without_off

STUDY = Path("examples/study")
FILES = sorted(path.stem for path in STUDY.glob("*.toml"))
EIGHT = {"rlvr", "sft-rlvr", "srl", "srl-rlvr", "pivotrl", "adaback", "pi-distill", "superrl"}


def test_the_page_shows_every_file() -> None:
    assert sorted(SHOWN) == FILES


@cache
def runs(name: str) -> list[RunConfig]:
    """The trainings of a file from its first base with its first seed."""
    tree = read_tree(STUDY / f"{name}.toml")
    first = tree | {"bases": tree["bases"][:1], "seeds": tree["seeds"][:1], "base": False}
    return [job.run for job in plan(CompareConfig.model_validate(without_off(first)))]


@pytest.mark.parametrize("name", FILES)
def test_every_run_of_a_file_is_valid_and_has_the_same_budget(name: str) -> None:
    tree = read_tree(STUDY / f"{name}.toml")
    assert len(runs(name)) == len(tree["methods"])
    assert {run.budget.tokens for run in runs(name)} == {2_400_000}
    assert {Path(base).name for base in tree["bases"]} <= set(BASES)
    assert len(tree["bases"]) == 3
    assert tree["evaluation"]["split"] == "test"
    assert tree["run"]["env"]["options"]["split"] == "train"
    assert tree["rows"] == f"docs/results/study/{name}"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_methods_of_a_family_differ_in_nothing_but_the_method(family: str) -> None:
    tree = read_tree(STUDY / f"{family}.toml")
    assert set(tree["methods"]) >= EIGHT
    assert len(tree["methods"]) == (14 if family in ("chains", "stories") else 8)
    assert tree["seeds"] == [1, 2, 3]
    first, *others = runs(family)
    assert all(run.env == first.env for run in others)
    assert all(run.optimizer == first.optimizer for run in others)
    assert {stage.batch for run in runs(family) for stage in run.resolved_method.stages} == {16}


def test_rates_are_chosen_on_another_base_and_on_development_problems() -> None:
    tree, tuned = read_tree(STUDY / "orders.toml"), grid("orders")
    assert len(tuned.methods) == len(RATES) * len(tree["methods"])
    assert not set(tuned.bases) & set(tree["bases"])
    assert tuned.evaluation.split == "dev"
    assert tuned.rows != tree["rows"]
    trained = [job.run for job in plan(tuned)]
    lrs = {stage.lr for run in trained for stage in run.resolved_method.stages}
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

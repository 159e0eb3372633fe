"""Comparisons of which no run can work, told apart before any is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from srl_agents.comparison.config import CompareConfig, make_compare_config, plan
from srl_agents.comparison.input_checks import check_jobs, check_splits
from srl_agents.comparison.scheduler import compare
from srl_agents.evaluation.contrasts import RunOutcome
from srl_agents.evaluation.rows import write_row
from srl_agents.runs.settings import with_overrides
from srl_env.errors import BadData, BadOption, UnknownName, UserError

LEAST: dict[str, Any] = {
    "methods": ["srl", "rlvr"],
    "seeds": [0, 1],
    "run": {
        "env": {"id": "srl/ModularChain-v0", "options": {"max_problems": 20, "split": "train"}},
        "model": {"path": "org/model"},
        "budget": {"updates": 1},
    },
    "evaluation": {"problems": 2},
}


def comparison(out: Path, *overrides: str) -> CompareConfig:
    return make_compare_config(with_overrides({**LEAST, "out": str(out)}, overrides))


def test_what_may_work_passes(tmp_path: Path) -> None:
    check_jobs(plan(comparison(tmp_path)))


SHARED: list[tuple[str, type[UserError], str]] = [
    ("run.env.id=srl/ModularChian-v0", UnknownName, "Did you mean 'srl/ModularChain-v0'"),
    ("run.env.options.dificulty=1", UnknownName, "Did you mean 'difficulty'"),
    ("run.env.problems=none.json", BadData, "none.json: No such file"),
    ("run.model.path=runs/nowhere", BadOption, "no folder 'runs/nowhere'"),
    ("evaluation.split=tst", BadOption, r"^evaluation\.split is 'tst': .*'test'"),
    ("evaluation.split=train", BadOption, r"^evaluation\.split is 'train': .* in this comparison"),
    ("curve.split=train", BadOption, r"^curve\.split is 'train': .* in this comparison"),
]


@pytest.mark.parametrize(("override", "error", "message"), SHARED)
def test_a_mistake_that_all_runs_share_is_one_error_and_leaves_no_folder(
    override: str, error: type[UserError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        compare(comparison(tmp_path / "c", override))
    assert not (tmp_path / "c").exists()


def test_a_mistake_of_one_method_is_left_to_its_runs(tmp_path: Path) -> None:
    wrong = ["changes.srl.model.path=runs/nowhere", "base=false"]
    check_jobs(plan(comparison(tmp_path, *wrong)))
    with pytest.raises(BadOption, match="no folder 'runs/nowhere'"):
        check_jobs(plan(comparison(tmp_path, *wrong, "methods=['srl']")))


def test_a_split_of_a_curve_that_is_off_is_not_looked_at(tmp_path: Path) -> None:
    config = comparison(tmp_path, "curve.split=train", "curve.every_s=off")
    check_splits(plan(config)[0])


def test_a_finished_comparison_is_read_where_its_model_is_gone(tmp_path: Path) -> None:
    config = comparison(tmp_path, "run.model.path=runs/gone")
    for job in plan(config):
        row = RunOutcome(job.method, job.seed, str(job.folder), settings=job.to_json())
        write_row(row, config.rows_folder)
    assert len(compare(config).runs) == 5

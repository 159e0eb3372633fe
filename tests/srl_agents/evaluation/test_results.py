"""Results in a folder: a summary, and a table with one row for each problem."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isnan, nan
from pathlib import Path

import pytest

from srl_agents.evaluation.results import read_result, write_result
from srl_agents.evaluation.scoring import EvalResult
from srl_env.errors import BadData

RESULT = EvalResult(
    policy="runs/x",
    env="srl/X-v0",
    source="x/test",
    problem_ids=("a,b", 'say "c"'),
    scores={"pass@1": (1 / 3, 1.0), "legal": (nan, 0.5)},
    episodes=4,
    failures={"VerifierTimeout": 1},
    settings={"rollouts": 2},
    seconds=1.5,
)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_result(tmp_path, RESULT)
    lines = (tmp_path / "problems.csv").read_text().splitlines()
    assert lines == ["problem,pass@1,legal", f'"a,b",{1 / 3!r},', '"say ""c""",1.0,0.5']
    summary = json.loads((tmp_path / "result.json").read_text())
    assert summary["estimates"]["legal"]["value"] == 0.5
    assert "scores" not in summary
    found = read_result(tmp_path)
    assert isnan(found.scores["legal"][0])
    known = {"scores": RESULT.scores}
    assert replace(found, **known) == RESULT
    assert found.scores["pass@1"] == RESULT.scores["pass@1"]


@pytest.mark.parametrize("text", ["", "problem,pass@1\na,b\n", "problem,pass@1\na\n"])
def test_a_damaged_table_is_named(tmp_path: Path, text: str) -> None:
    write_result(tmp_path, RESULT)
    (tmp_path / "problems.csv").write_text(text)
    with pytest.raises(BadData, match=r"problems\.csv must be written by srl-env eval; got "):
        read_result(tmp_path)

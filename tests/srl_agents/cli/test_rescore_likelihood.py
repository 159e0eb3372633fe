"""``log-likelihood`` of saved rollouts, by the model that sampled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from srl_agents.cli.main import app
from srl_agents.collection import likelihood
from tests.srl_agents import thinking


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def evaluated(policy: str | Path, out: Path) -> Path:
    few = ("--problems", "3", "--rollouts", "4", "--ks", "1", "--max-tokens", "5")
    result = run("eval", "-m", policy, "-e", thinking.__file__, *few, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_the_model_that_sampled_measures_its_saved_thoughts(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = evaluated(base, tmp_path / "eval")
    result = run("rescore", folder, "--measure", "characters", "--measure", "log-likelihood")
    assert result.exit_code == 0, result.output
    rows = (tmp_path / "eval-measures" / "steps.jsonl").read_text().splitlines()
    values = [json.loads(row)["values"]["log-likelihood"] for row in rows]
    assert len(values) == 12
    assert len(set(values)) > 1
    assert all(-1 <= value <= 1 for value in values)
    monkeypatch.setattr(likelihood, "ROWS", 1)  # the numbers do not depend on what is beside them
    run("rescore", folder, "--measure", "log-likelihood", "--out", tmp_path / "alone")
    rows = (tmp_path / "alone" / "steps.jsonl").read_text().splitlines()
    alone = [json.loads(row)["values"]["log-likelihood"] for row in rows]
    assert alone == pytest.approx(values, abs=1e-5)


def test_a_policy_that_is_no_model_has_no_log_probs(tmp_path: Path) -> None:
    folder = evaluated("expert", tmp_path / "eval")
    result = run("rescore", folder, "--measure", "log-likelihood")
    assert result.exit_code == 2
    assert "needs the log-probs of the model that sampled; got policy 'expert'" in " ".join(
        result.output.split()
    )

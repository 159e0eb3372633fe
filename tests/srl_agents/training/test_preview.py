"""The preview of a run: what it shows, what it advises, and that the run stays the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from srl_agents.cli.main import app
from srl_agents.runs.config import make_config
from srl_agents.training.preview import Preview
from srl_agents.training.run import sample, train
from tests.srl_agents import letters

TIMES = ("time", "tokens_per_s", "seconds")


def tree(base: Path, out: Path, **objective: Any) -> dict[str, Any]:
    settings = letters.settings(base, out)
    settings["train"]["objective"] |= objective
    return settings | {"budget": {"updates": 2}}


def numbers(folder: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if not key.startswith(TIMES)}
        for row in letters.updates(folder)
    ]


def test_a_run_is_the_same_to_the_bit_with_and_without_its_preview(
    base: Path, tmp_path: Path
) -> None:
    shown: list[Preview] = []
    train(make_config(tree(base, tmp_path / "a")), on_preview=shown.append)
    train(make_config(tree(base, tmp_path / "b")))
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b")
    (preview,) = shown
    assert (preview.stage, preview.groups, len(preview.samples)) == ("srl", 8, 3)
    assert preview.informative == 8
    assert preview.metrics["format_fraction"] == 1.0
    assert preview.seconds_per_update > 0
    assert preview.peak_memory_bytes > 2**20


def test_a_resumed_run_has_no_preview(base: Path, tmp_path: Path) -> None:
    train(make_config(tree(base, tmp_path)))
    longer = make_config(tree(base, tmp_path) | {"budget": {"updates": 3}})
    train(longer, resume=True, on_preview=lambda _: pytest.fail("shown"))


@pytest.mark.parametrize(
    ("env", "objective", "advice"),
    [
        ("steps", {}, "no completion follows the environment's format"),
        ("letters", {"reward_mode": "format"}, "All rewards are 1"),
        ("letters", {"max_tokens": 1}, "of the completions reach objective.max_tokens = 1."),
    ],
)
def test_what_cannot_work_is_said_before_the_first_update(
    env: str, objective: dict[str, Any], advice: str, base: Path, tmp_path: Path
) -> None:
    settings = tree(base, tmp_path / "out", **objective)
    if env == "steps":
        rows = [{"prompt": f"{x}#", "steps": [x * 4, x * 4], "answer": x} for x in "abcd"]
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        settings["env"] = {"id": f"steps:{tmp_path / 'rows.jsonl'}"}
    found = sample(make_config(settings))
    assert found is not None
    assert advice in " ".join(found.advice)
    assert not (tmp_path / "out").exists()


def test_a_run_that_teaches_the_format_first_is_not_advised_to(base: Path, tmp_path: Path) -> None:
    settings = tree(base, tmp_path / "out", reward_mode="format") | {"method": ["form", "srl"]}
    settings["stages"] = {"form": {"objective": {"reward_mode": "srl"}}}
    found = sample(make_config(settings))
    assert found is not None
    assert (found.stage, found.informative, found.advice) == ("srl", 0, ())


def test_a_method_without_samples_has_no_preview(base: Path, tmp_path: Path) -> None:
    assert sample(make_config(tree(base, tmp_path / "out") | {"method": "sft"})) is None


def test_the_command_shows_samples_escaped_and_makes_no_folder(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(tree(base, tmp_path / "out")))
    done = CliRunner().invoke(app, ["train", str(file), "--dry-run", "--sample"])
    assert done.exit_code == 0, done.output
    assert "Stage srl, before the first update" in done.stderr
    assert "8 of 8 groups can be trained on" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()
    refused = CliRunner().invoke(app, ["train", str(file), "--sample"])
    assert (refused.exit_code, "--sample needs --dry-run" in refused.stderr) == (2, True)

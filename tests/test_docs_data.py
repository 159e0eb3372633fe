"""The page about data: its commands and its Python run as a reader would run them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from srl_agents.cli import app
from srl_env.data.forms import FORMS
from srl_env.data.splitters import SPLITTERS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/data.md").read_text(encoding="utf-8")


def commands(number: int) -> list[list[str]]:
    """The words of each command of a console block, comments left out."""
    block = re.findall(r"^```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[number]
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines()]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the sample of GSM8K in two files."""
    lines = (ROOT / "envs/srl_tasks/samples/gsm8k.jsonl").read_text("utf-8").splitlines(True)
    (tmp_path / "train.jsonl").write_text("".join(lines[:40]), "utf-8")
    (tmp_path / "test.jsonl").write_text("".join(lines[40:]), "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_on_data_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    for words in commands(0):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    assert (here / "data" / "README.md").exists()
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    exec(program, {})
    assert capsys.readouterr().out == "True {}\n"


def test_the_commands_after_an_evaluation_run(here: Path) -> None:
    kwargs = json.dumps({"source": "sample"})
    for name in ("eval-1", "eval-base", "eval-trained"):
        words = f"eval -m expert -e srl/GSM8K-v0 -n 3 -r 2 --no-greedy -o runs/{name}".split()
        assert CliRunner().invoke(app, [*words, "--kwargs", kwargs]).exit_code == 0
    rescore, difficulty, train, monitor, probe = commands(1)
    for words in (rescore, [*difficulty, "-b", "easy"], monitor):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    assert len(json.loads((here / "hard.json").read_text())["problems"]) == 3
    assert (train[0], probe[0]) == ("train", "probe")
    assert train[-1] == "env.problems=hard.json"


def test_every_form_and_splitter_is_on_the_page() -> None:
    for name in (*FORMS, *SPLITTERS):
        assert f"`{name}`" in PAGE

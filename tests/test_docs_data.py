"""The commands and the Python of the page about data run as a reader would run them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from srl_env.data.forms.detect import FORMS
from srl_env.data.forms.splitters import SPLITTERS
from tests.pages import ROOT, commands, program, run_command, run_program, visiting, write_files

PAGE = ROOT / "docs/data.md"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A folder with the sample of GSM8K in two files."""
    lines = (
        (ROOT / "envs/srl_tasks/recorded/samples/gsm8k.jsonl").read_text("utf-8").splitlines(True)
    )
    (tmp_path / "train.jsonl").write_text("".join(lines[:40]), "utf-8")
    (tmp_path / "test.jsonl").write_text("".join(lines[40:]), "utf-8")
    with visiting(tmp_path):
        yield tmp_path


def test_the_commands_on_data_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    write_files(PAGE)
    for words in commands(PAGE):
        run_command(words)
    assert (here / "data" / "README.md").exists()
    run_program(program(PAGE))
    assert capsys.readouterr().out == "True {}\n"


def test_the_commands_after_an_evaluation_run(here: Path) -> None:
    kwargs = json.dumps({"source": "sample"})
    for name in ("eval-1", "eval-base", "eval-trained"):
        words = f"srl-env eval -m expert -e srl/GSM8K-v0 -n 3 -r 2 --no-greedy -o runs/{name}"
        run_command([*words.split(), "--kwargs", kwargs])
    rescore, difficulty, train, monitor, probe = commands(PAGE, "sh")[-5:]
    for found in (rescore, [*difficulty, "-b", "easy"], monitor):
        run_command(found)
    assert len(json.loads((here / "hard.json").read_text())["problems"]) == 3
    assert (train[1], probe[1]) == ("train", "probe")
    assert train[-1] == "env.problems=hard.json"


def test_every_form_and_splitter_is_on_the_page() -> None:
    for name in (*FORMS, *SPLITTERS):
        assert f"`{name}`" in PAGE.read_text(encoding="utf-8")

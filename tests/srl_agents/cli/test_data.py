from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import srl_env
from srl_agents.cli.main import app
from srl_env.data import JsonlSource
from srl_env.text.unicode import escaped

GOOD = {"question": "What is 2 + 3?", "answer": "2 + 3 = 5 here\n#### 5"}


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["data", *map(str, arguments)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    rows = [{**GOOD, "question": f"What is 2 + 3 + {i}?"} for i in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"question": "?"}]))
    return path


def test_help_teaches() -> None:
    told = run("--help").output
    for word in ("inspect", "lint", "convert", "SWE-smith", "ATIF", "train.jsonl"):
        assert word in told
    assert "module:function" in run("convert", "--help").output


def test_inspect_shows_form_numbers_and_the_first_problem(data: Path) -> None:
    result = run("inspect", data)
    assert result.exit_code == 0
    for text in ("20 problems, gsm8k", "split train", "What is 2 + 3 + 0?", "1 dropped: no"):
        assert text in result.output
    assert "by the hash of ids" not in result.output
    assert json.loads(run("inspect", data, "--json").stdout)["problems"] == 20
    split = run("inspect", data, "--split", "a=0.5", "--split", "b=0.5").output
    assert split.count("by the hash of ids") == 2


FORM = """
from srl_env.data import BadRow, Form
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem

def problem(row):
    if "=" not in row["sum"]:
        raise BadRow("no equation", "expected a + b = c")
    left, answer = row["sum"].split("=")
    steps = (ExpertStep(row["sum"]), ExpertStep(f"#### {answer}"))
    return Problem(left, f"What is {left}?", answer, (ExpertTrajectory(steps),))

FORM = Form("sums", '"sum" as 2+3=5', lambda row, options: "sum" in row, lambda *_: problem)
"""


def test_a_form_of_your_own_is_one_file_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_form_of_sums.py").write_text(FORM)
    (tmp_path / "sums.jsonl").write_text('{"sum": "2+3=5"}\n{"sum": "2+3"}\n')
    monkeypatch.chdir(tmp_path)
    result = run("inspect", "sums.jsonl", "--form", "my_form_of_sums:FORM")
    assert result.exit_code == 0
    for text in ("1 problems, sums", "What is 2+3?", "sums.jsonl:2: no equation"):
        assert text in result.output
    assert (
        run("convert", "sums.jsonl", "-f", "my_form_of_sums:FORM", "-o", "o.jsonl").exit_code == 0
    )
    env = srl_env.make("steps:o.jsonl", split="all")
    assert env.unwrapped.problems[0].answer == "5"
    same = srl_env.make(
        "steps:sums.jsonl", form="my_form_of_sums:FORM", on_bad_row="drop", split="all"
    )
    assert same.unwrapped.problems[0] == env.unwrapped.problems[0]


@pytest.mark.parametrize("command", ["inspect", "lint"])
def test_escapes_in_data_do_not_reach_the_terminal(command: str, tmp_path: Path) -> None:
    hostile = "\x1b[2J\x1b]8;;http://evil.example\x07 \x9b31m \u202e \ud800"
    row = {"id": f"a{hostile}", "prompt": hostile, "steps": [hostile, "#### 2"], "answer": "2"}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "steps": hostile}) + "\n")
    result = run(command, path)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert escaped(result.output) == result.output
    if command == "inspect":
        assert r"first problem, a\x1b[2J\x1b]8;;http://evil.example" in result.output


def test_lint_ends_with_1_where_there_are_errors(data: Path, tmp_path: Path) -> None:
    result = run("lint", data)
    assert result.exit_code == 1
    assert 'bad-row: no "answer"' in result.output
    assert "1 error, 0 warnings, 0 notes" in result.output
    good = tmp_path / "good.jsonl"
    good.write_text(json.dumps(GOOD))
    assert run("lint", good).exit_code == 0
    assert run("lint", good, "--shortest", 30).exit_code == 0
    assert run("lint", good, "--shortest", 30, "--strict").exit_code == 1
    told = run("lint", data, "--json").stdout
    assert json.loads(told)["passed"] is False
    assert f"{data}:21" in told


def test_convert_writes_what_is_read_again(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    result = run("convert", data, "-o", out, "-s", "calculations", "--answer-step", "#### {answer}")
    assert result.exit_code == 0
    assert "20 problems (train 20), from raw" in result.output
    (first, *_) = JsonlSource(out)
    assert first.trajectories[0].actions == ("2 + 3 = 5 here", "#### 5")
    again = run("convert", data, "-o", out)
    assert (again.exit_code, "--force" in again.output) == (2, True)
    assert run("convert", data, "-o", out, "--force").exit_code == 0


def test_convert_makes_a_folder_with_a_card(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "my-data"
    result = run("convert", data, "-o", out, "--split", "train=0.5", "--split", "test=0.5")
    assert result.exit_code == 0
    assert sorted(os.listdir(out / "data")) == ["test.parquet", "train.parquet"]
    assert "# my-data" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "train"], "--split must be NAME=NUMBER, each name once; got 'train'"),
        (["--split", "train=0.5"], "fractions must not be negative and sum to 1"),
        (["--split", "train=x"], "--split must be NAME=NUMBER, each name once; got 'train=x'"),
        (["--split", "a=0.5", "--split", "a=0.5"], "each name once; got 'a=0.5'"),
        (["-c", "x"], "--column must be NAME=VALUE, each name once; got 'x'"),
        (["-c", "promt=x"], "no column 'promt'. Did you mean 'prompt'"),
        (["-f", "gsm"], "no form 'gsm'"),
        (["-s", "line"], "no splitter 'line'. Did you mean 'lines'"),
        (["--bad-rows", "raise"], 'train.jsonl:21: no "answer"'),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    data: Path, arguments: list[str], message: str
) -> None:
    result = run("convert", data, "-o", data.parent / "out.jsonl", *arguments)
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert message in result.output
    assert os.listdir(data.parent) == ["train.jsonl"]


@pytest.mark.parametrize("out", ["out.jsonl", "out"])
def test_a_conversion_that_keeps_nothing_fails_and_leaves_nothing(tmp_path: Path, out: str) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"question": "?", "answer": "no marker"}\n' * 3)
    result = run("convert", data, "-f", "gsm8k", "-o", tmp_path / out)
    assert result.exit_code == 1
    assert f"error: no row is a problem; {tmp_path / out} was not written" in result.output
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_unknown_columns_are_shown_with_the_options_that_name_them(tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    data.write_text(
        'frage,weg,antwort,thema\n2 + 3?,"1. Add.\n2. = 5",5,x\n2 + 4?,"1. Add.\n2. = 6",6,x\n'
    )
    named = ["-c", "prompt=frage", "-c", "solution=weg", "-c", "answer=antwort"]
    result = run("inspect", data)
    assert result.exit_code == 2
    assert "--column prompt=frage --column solution=weg --column answer=antwort" in result.output
    assert "thema" in result.output
    result = run("inspect", data, *named)
    assert result.exit_code == 0
    assert "unused columns" in result.output


def test_the_ending_of_a_file_that_is_not_written_makes_no_folder(data: Path) -> None:
    for name in ("w.csv", "w.json", "w.jsonl.gz"):
        result = run("convert", data, "-o", data.parent / name)
        assert (result.exit_code, result.output.count("\n")) == (2, 1)
        assert "the output must be FILE.jsonl, FILE.parquet or a folder; got" in result.output
        assert f"a name without {Path(name).suffix}" in result.output
    assert os.listdir(data.parent) == ["train.jsonl"]


def test_sigterm_leaves_no_partial_file(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    with source.open("w") as file:
        for i in range(100_000):
            file.write(json.dumps({**GOOD, "question": f"{i}?"}) + "\n")
    code = "from srl_agents.cli import app; app()"
    command = [sys.executable, "-c", code, "data", "convert", str(source), "-o"]
    process = subprocess.Popen([*command, str(tmp_path / "out.jsonl")], stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".out.jsonl.*.part")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) != 0
    assert os.listdir(tmp_path) == ["rows.jsonl"]

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from srl_env.data import DatasetSource, JsonlSource
from srl_env.data.drops import DropReport
from srl_env.data.files.card import CardFacts, dataset_card
from srl_env.data.files.write import Kind, kind_of, open_writer
from srl_env.data.forms.detect import read_problems
from srl_env.errors import BadData, BadOption
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem

STEPS = (ExpertStep("x", "T", "thought", "seen"), ExpertStep("y"))
PROBLEMS = [
    Problem("a", "1 + 1? π 🙂", "2", (ExpertTrajectory((ExpertStep("2"),)),)),
    Problem("b", "?", None, (), {"level": 3, "tags": ["x", None]}),
    Problem("c", "!", "4", (ExpertTrajectory(STEPS, "one"), ExpertTrajectory(STEPS[1:]))),
]
KINDS: list[Kind] = ["jsonl", "parquet", "folder"]
NAMES = {"jsonl": "out.jsonl", "parquet": "out.parquet", "folder": "out"}


def card(counts: object) -> str:
    return f"{counts}"


@pytest.fixture(params=KINDS)
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param != "jsonl":
        pytest.importorskip("pyarrow")
    return tmp_path / "new" / NAMES[request.param]


def test_the_ending_says_what_is_written(tmp_path: Path) -> None:
    endings = {"a.jsonl": "jsonl", "a.JSONL": "jsonl", "a.parquet": "parquet", "v1.2": "folder"}
    assert {name: kind_of(tmp_path / name) for name in endings} == endings
    (tmp_path / "my.json").mkdir()
    assert kind_of(tmp_path / "my.json") == "folder"
    with pytest.raises(BadOption, match=r"must be FILE.jsonl, .* got .*w.csv. Fix"):
        kind_of(tmp_path / "w.csv")


def write(out: Path, problems: list[Problem], *, force: bool = False) -> None:
    with open_writer(out, card=card, force=force) as writer:
        for problem in problems:
            writer.add(problem)


def test_what_is_written_is_read_again(out: Path) -> None:
    write(out, PROBLEMS)
    assert [item.problem for item in read_problems([out])] == PROBLEMS
    assert os.listdir(out.parent) == [out.name]


def write_half(out: Path, error: type[BaseException]) -> None:
    with open_writer(out, card=card, force=True) as writer:
        writer.add(PROBLEMS[0])
        raise error


def test_an_error_or_an_interrupt_leaves_nothing(out: Path) -> None:
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error):
            write_half(out, error)
        assert os.listdir(out.parent) == []
    with pytest.raises(BadData, match="problem 'a': its metadata is no JSON"):
        write(out, [Problem("a", "?", metadata={"x": {1}})])
    assert os.listdir(out.parent) == []


def test_what_exists_is_only_replaced_by_force_and_then_whole(out: Path) -> None:
    write(out, PROBLEMS)
    with pytest.raises(BadOption, match="exists; choose another, or replace it"):
        write(out, PROBLEMS[:1])
    with pytest.raises(ValueError):  # noqa: PT011
        write_half(out, ValueError)
    assert len(list(read_problems([out]))) == 3
    write(out, PROBLEMS[:1], force=True)
    assert [item.problem for item in read_problems([out])] == PROBLEMS[:1]
    assert os.listdir(out.parent) == [out.name]


def test_a_folder_with_something_else_in_it_is_never_replaced(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(BadOption, match="has 'thesis.tex' in it, which was not written here"):
        write(tmp_path / "out", PROBLEMS, force=True)
    (tmp_path / "file").touch()
    with pytest.raises(BadOption, match="is a file; a folder cannot take its place"):
        write(tmp_path / "file", PROBLEMS, force=True)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", PROBLEMS)


def test_lone_surrogates_are_kept_in_lines_and_replaced_in_tables(out: Path) -> None:
    write(out, [Problem("a", "x\ud800", "\udfff", (ExpertTrajectory((ExpertStep("\ud800"),)),))])
    (item,) = read_problems([out])
    assert isinstance(item.problem, Problem)
    found = [ord(item.problem.prompt[1]), item.problem.answer]
    assert found == ([0xD800, "\udfff"] if out.suffix == ".jsonl" else [0xFFFD, "\ufffd"])


def test_splits_of_a_folder_are_files_that_datasets_reads(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    facts = CardFacts('A "title": yes', ("a.jsonl",), "gsm8k (x)", "srl-env data convert", "mit")
    report = DropReport("a", dropped={"no | mark": 2})
    with open_writer(tmp_path / "out", card=lambda n: dataset_card(facts, n, report)) as writer:
        for problem, split in zip(PROBLEMS, ("train", "train", "dev"), strict=True):
            writer.add(problem, split)
    assert writer.counts == {"train": 2, "dev": 1}
    found = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: split["id"][:] for name, split in found.items()} == {
        "train": ["a", "b"],
        "dev": ["c"],
    }
    again = DatasetSource.from_hub(
        str(tmp_path / "out"), hub_split="dev", load={"cache_dir": str(tmp_path / "cache")}
    )
    assert list(again) == PROBLEMS[2:]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| dev | 1 |\n| train | 2 |" in card
    assert "| no / mark | 2 |" in card
    assert 'license: "mit"' in card
    assert "- n<1K" in card


def test_a_full_disk_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadData, match="out.jsonl: No space left on device; nothing was written"):
        write(tmp_path / "out.jsonl", PROBLEMS)
    assert os.listdir(tmp_path) == []


def test_lines_are_those_of_write_jsonl(tmp_path: Path) -> None:
    write(tmp_path / "out.jsonl", PROBLEMS)
    assert list(JsonlSource(tmp_path / "out.jsonl")) == PROBLEMS

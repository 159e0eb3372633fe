from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srl_env.data.files.streams import RowStream
from srl_env.data.rows import BadRow
from srl_env.errors import BadData

ROWS: list[dict[str, Any]] = [{"prompt": f"π {i}", "steps": ["a", "b"]} for i in range(5)]


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(*paths: Path) -> list[tuple[str, Any]]:
    stream = RowStream(paths)
    found = [(stream.place(row.file, row.number), row.row) for row in stream]
    assert stream.bytes_done == stream.bytes_total
    return found


def test_lines_have_their_numbers_blank_ones_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}\n{bad\n[1]')
    found = read(path)
    assert found[:2] == [(f"{path}:1", {"a": 1}), (f"{path}:3", {"a": 2})]
    assert [(place, type(row)) for place, row in found[2:]] == [
        (f"{path}:4", BadRow),
        (f"{path}:5", BadRow),
    ]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_list_is_read_object_by_object_with_lines(tmp_path: Path, indent: int) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([ROWS[0], 3, ROWS[1]], indent=indent, ensure_ascii=False))
    (first, three, last) = read(path)
    assert (first[1], last[1]) == (ROWS[0], ROWS[1])
    assert isinstance(three[1], BadRow)
    assert [first[0], last[0]] == (
        [f"{path}:2", f"{path}:10"] if indent else [f"{path}:1", f"{path}:1"]
    )


def test_a_long_list_is_read_across_many_chunks(tmp_path: Path) -> None:
    rows = [{"text": "π≤" * (i % 7) * 4000, "i": i} for i in range(60)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    assert [row for _, row in read(path)] == rows


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'[{"a": 1} {"a": 2}]', r"a.json:1: expected ',' or '\]' after this row; got '\{'"),
        (b'[{"a": 1},\n{"a": ', r"a.json:2: no JSON; Expecting value"),
        (b'[{"a": "\xff"}]', "a.json: no UTF-8 at byte 9"),
        (b"[" * 200_000, "a.json:1: JSON that is nested too deep|no JSON"),
    ],
)
def test_a_broken_list_is_reported_with_its_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(BadData, match=message):
        read(path)


def test_json_files_hold_one_object_or_lines_of_them(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(ROWS[0], indent=1))
    (tmp_path / "lines.json").write_text(lines(ROWS))
    assert [row for _, row in read(tmp_path / "one.json")] == ROWS[:1]
    assert [row for _, row in read(tmp_path / "lines.json")] == ROWS


def test_a_traj_file_without_an_id_has_the_name_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "repo__1.traj").write_text(json.dumps({"trajectory": []}, indent=1))
    (tmp_path / "run" / "other.json").write_text("{}")
    assert [row for _, row in read(tmp_path)] == [{"instance_id": "repo__1", "trajectory": []}]


def test_a_folder_of_a_harness_gives_its_trajectories_only(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trajectory.json").write_text(json.dumps({"id": name}))
        (tmp_path / name / "result.json").write_text("{}")
    assert [row for _, row in read(tmp_path)] == [{"id": "a"}, {"id": "b"}]


def test_tables_are_read_in_batches(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list(ROWS * 200)
    table.to_parquet(tmp_path / "a.parquet")
    datasets.DatasetDict({"train": table, "test": table.select(range(5))}).save_to_disk(
        tmp_path / "saved"
    )
    found = read(tmp_path / "a.parquet")
    assert [row for _, row in found] == ROWS * 200
    assert found[999][0] == f"{tmp_path / 'a.parquet'}, row 999"
    assert [row for _, row in read(tmp_path / "saved")] == ROWS + ROWS * 200


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.jsonl", "train"),
        ("gsm8k-test.jsonl", "test"),
        ("validation-00000-of-00001.parquet", "validation"),
        ("test/data.jsonl", "test"),
        ("contest.jsonl", None),
        ("trainer.jsonl", None),
        ("test_run/data.jsonl", None),
    ],
)
def test_the_names_of_files_give_the_splits(tmp_path: Path, name: str, split: str | None) -> None:
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True)
    path.touch()
    assert RowStream([path]).split(0) == split


def _nothing(folder: Path) -> Path:
    return folder / "nothing.jsonl"


def _no_data(folder: Path) -> Path:
    (folder / "README.md").touch()
    return folder


def _no_table(folder: Path) -> Path:
    (folder / "a.parquet").write_bytes(b"PAR1 not")
    return folder / "a.parquet"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_nothing, "nothing.jsonl: there is no such file or folder"),
        (_no_data, "no data in this folder; expected files ending in .jsonl"),
        (_no_table, "a.parquet: no Parquet file that can be read"),
    ],
)
def test_unreadable_paths_are_errors(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(BadData, match=message):
        read(make(tmp_path))


def test_a_single_path_is_one_file_and_not_its_characters(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1"}\n')
    assert RowStream(str(tmp_path / "a.jsonl")).files == [tmp_path / "a.jsonl"]
    assert RowStream(tmp_path).files == [tmp_path / "a.jsonl"]

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from srl_env.data import JsonlSource
from srl_env.data.convert import convert
from srl_env.data.files.write import open_writer
from srl_env.data.forms.detect import read_problems
from srl_env.data.forms.form import ReadOptions
from srl_env.errors import BadData


def write_rows(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def converted(*paths: Path, out: Path, splits: Any = None, **options: Any) -> Any:
    with open_writer(out) as writer:
        reading = read_problems(paths, ReadOptions(splits=splits))
        return convert(reading, writer, **options), writer.counts


def test_good_rows_are_written_and_bad_ones_reported(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "prompt": "a"},
        {"prompt": ""},
        {"id": "1", "prompt": "b"},
        {"id": 2, "prompt": "c"},
    ]
    path = write_rows(tmp_path / "a.jsonl", rows)
    report, counts = converted(path, out=tmp_path / "out.jsonl")
    assert (report.kept, report.dropped) == (
        2,
        {'"prompt" is empty': 1, "the id of an earlier row": 1},
    )
    assert report.examples["the id of an earlier row"] == [
        f"{path}:3: the id of an earlier row; '1'; ids are unique, and several solutions of one "
        'problem are one row with "trajectories"'
    ]
    assert counts == {"train": 2}
    assert [problem.id for problem in JsonlSource(tmp_path / "out.jsonl")] == ["1", "2"]


def test_the_first_bad_row_can_stop_it(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"prompt": "a"}, {"prompt": "b"}, {"prompt": 3}])
    with pytest.raises(BadData, match=r"a.jsonl:3: \"prompt\" is no text"):
        converted(path, out=tmp_path / "out.jsonl", on_bad_row="raise")
    assert not (tmp_path / "out.jsonl").exists()


def test_splits_are_the_files_or_those_that_are_asked_for(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", [{"prompt": f"a{i}"} for i in range(100)])
    test = write_rows(tmp_path / "test.jsonl", [{"prompt": f"b{i}"} for i in range(10)])
    _, counts = converted(train, test, out=tmp_path / "a.jsonl")
    assert counts == {"train": 100, "test": 10}
    _, counts = converted(train, test, out=tmp_path / "b.jsonl", splits={"x": 0.5, "y": 0.5})
    assert set(counts) == {"x", "y"}
    assert 35 <= counts["x"] <= 75


def test_progress_tells_rows_and_bytes(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"prompt": f"a{i}"} for i in range(600)])
    reading, seen = read_problems([path]), list[tuple[int, float]]()
    with open_writer(tmp_path / "out.jsonl") as writer:
        stream = reading.stream
        convert(
            reading,
            writer,
            on_progress=lambda rows: seen.append((rows, stream.bytes_done / stream.bytes_total)),
        )
    assert [rows for rows, _ in seen] == [256, 512]
    assert 0.4 < seen[0][1] < seen[1][1] < 0.9


def test_memory_does_not_grow_with_the_rows_but_for_the_ids(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"prompt": f"{i} " * 300} for i in range(4_000)])
    assert path.stat().st_size > 4_000_000
    with open_writer(tmp_path / "out.jsonl") as writer:
        tracemalloc.start()
        convert(read_problems([path]), writer)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1_000_000

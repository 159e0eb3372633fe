"""Files that are no JSON lines are answered with what to do."""

from __future__ import annotations

import gzip
import shlex
from pathlib import Path

import pytest

from srl_env.data import JsonlSource
from srl_env.data.files.streams import RowStream
from srl_env.errors import BadData


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.json", b'[{"prompt": "a"}]', "a JSON list"),
        ("a b.json", b'\xef\xbb\xbf[\n {"prompt": "a"}\n]', "a JSON list"),
        ("a.jsonl", b'[{"prompt": "a"},\n{"prompt": "b"}]', "a JSON list"),
        ("a.json", b'{\n "prompt": "a"\n}', "JSON over several lines"),
        ("a.parquet", b"PAR1\x15\x04", "a table"),
    ],
)
def test_a_file_that_can_be_converted_is_answered_with_how(
    tmp_path: Path, name: str, data: bytes, kind: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(BadData) as caught:
        JsonlSource(path, on_bad_row="drop")
    assert str(caught.value) == (
        f"{path}: {kind}; expected JSON lines, an object on each. Convert it, and read what comes "
        f"out: srl-env data convert {shlex.quote(str(path))} -o OUT.jsonl, then steps:OUT.jsonl"
    )


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a"])
def test_an_empty_file_is_of_no_kind(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\n")
    assert len(JsonlSource(path)) == 0


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a"])
def test_lines_of_json_are_read_under_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'\n{"prompt": "a"}\n["b"]\n')
    assert [problem.prompt for problem in JsonlSource(path, on_bad_row="drop")] == ["a"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.xlsx"])
def test_a_table_is_no_json_lines(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"prompt,answer\na,1\n")
    with pytest.raises(BadData, match="a table; expected JSON lines.* srl-env data convert"):
        JsonlSource(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl.gz", gzip.compress(b"{}", mtime=0), "packed by gzip, .* unpack it first"),
        ("a.jsonl", b"PK\x03\x04rest", "packed by zip, .* unpack it first"),
    ],
)
def test_a_file_that_nothing_here_reads_is_answered_with_what_to_do(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    for read in (JsonlSource, lambda path: list(RowStream([path]))):
        with pytest.raises(BadData, match=f"{name}: .*{message}"):
            read(path)

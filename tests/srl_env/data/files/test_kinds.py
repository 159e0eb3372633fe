"""The errors for files that are not JSON lines say what to do."""

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
        ("a.json", b'[{"prompt": "a"}]', "JSON"),
        ("a b.json", b'\xef\xbb\xbf[\n {"prompt": "a"}\n]', "JSON"),
        ("a.jsonl", b'[{"prompt": "a"},\n{"prompt": "b"}]', "JSON"),
        ("a.json", b'{\n "prompt": "a"\n}', "JSON"),
        ("a.parquet", b"PAR1\x15\x04", "Parquet"),
    ],
)
def test_the_error_for_a_file_that_can_be_converted_says_how(
    tmp_path: Path, name: str, data: bytes, kind: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(BadData) as caught:
        JsonlSource(path, on_bad_row="drop")
    assert str(caught.value) == (
        f"{path} must be JSON lines, an object on each; got {kind}. Fix: srl-env data convert "
        f"{shlex.quote(str(path))} -o OUT.jsonl, and read OUT.jsonl"
    )


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a"])
def test_an_empty_file_has_no_problems_under_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\n")
    assert len(JsonlSource(path)) == 0


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a"])
def test_lines_of_json_are_read_under_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'\n{"prompt": "a"}\n["b"]\n')
    assert [problem.prompt for problem in JsonlSource(path, on_bad_row="drop")] == ["a"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.xlsx"])
def test_a_table_is_not_json_lines(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"prompt,answer\na,1\n")
    with pytest.raises(BadData, match="must be JSON lines.* srl-env data convert"):
        JsonlSource(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl.gz", gzip.compress(b"{}", mtime=0), "got gzip. Fix: unpack it first"),
        ("a.jsonl", b"PK\x03\x04rest", "got zip. Fix: unpack it first"),
    ],
)
def test_the_error_for_a_compressed_file_says_what_to_do(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    for read in (JsonlSource, lambda path: list(RowStream([path]))):
        with pytest.raises(BadData, match=f"{name} .*{message}"):
            read(path)

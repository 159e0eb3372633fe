from __future__ import annotations

import json
import os
import pickle
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srl_env.data import JsonlSource, StepList, write_jsonl
from srl_env.errors import BadData, BadOption, UnknownName
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem, ProblemSource

PROBLEMS = [
    Problem("a", "What is 1 + 1?", "2", (ExpertTrajectory((ExpertStep("1 + 1 = 2"),)),)),
    Problem("b", "π ≤ \u2028 4?\ud800", None, (), {"level": 3}),
    Problem(
        "c",
        "Twice?",
        "4",
        (
            ExpertTrajectory((ExpertStep("x", "T", "thought", "seen"), ExpertStep("y")), "one"),
            ExpertTrajectory((ExpertStep("z"),)),
        ),
    ),
]

Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_bytes(data: bytes) -> Path:
        path = tmp_path / "train.jsonl"
        path.write_bytes(data)
        return path

    return write_bytes


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "train.jsonl"
    assert write_jsonl(path, iter(PROBLEMS)) == 3
    source = JsonlSource(path)
    assert list(source) == PROBLEMS
    assert (source.name, len(source)) == ("train", 3)
    assert isinstance(source, ProblemSource)
    assert os.listdir(path.parent) == ["train.jsonl"]


def test_metadata_that_json_cannot_express_leaves_no_file(tmp_path: Path) -> None:
    for value in ({1, 2}, float("nan")):
        bad = Problem("bad", "?", metadata={"x": value})
        with pytest.raises(BadData, match="problem 'bad': its metadata is no JSON"):
            write_jsonl(tmp_path / "train.jsonl", [PROBLEMS[0], bad])
    assert os.listdir(tmp_path) == []


def test_windows_line_ends_a_byte_order_mark_and_blank_lines_are_passed_over(write: Write) -> None:
    path = write(b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n  \t\r\n{"prompt": "b"}\r\n{"prompt": "c"}')
    assert [problem.prompt for problem in JsonlSource(path)] == ["a", "b", "c"]


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", b"\r\n  \n"])
def test_an_empty_file_has_no_problems(write: Write, data: bytes) -> None:
    source = JsonlSource(write(data))
    assert len(source) == 0
    with pytest.raises(IndexError, match="train has 0 problems; there is no number 0"):
        source[0]
    with pytest.raises(UnknownName, match="no problem 'a'"):
        source.index_of("a")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            b'{"prompt": "a"',
            "no JSON; Expecting .* at column 15; expected one JSON object, .*",
        ),
        (b'{"prompt": "\xff"}', "no UTF-8; byte 13 of the line is 0xff; save the file as UTF-8"),
        (b'{"prompt": NaN}', "no JSON; NaN is not a number in JSON"),
        (b'["prompt"]', 'no JSON object; expected {"column": …}, got list'),
        (b'{"prompt": "a", "steps": []}', '"steps" is empty; a problem needs at least one'),
        (b'{"prompt": "a", "answer": ' + b"[" * 10**5, "JSON that is too large to read"),
        (b'{"prompt": "a", "answer": ' + b"9" * 10**4 + b"}", "JSON that is too large to read"),
        (b"\0", "no JSON"),
    ],
)
def test_a_bad_row_is_an_error_with_file_and_line(write: Write, line: bytes, message: str) -> None:
    path = write(b'\n{"prompt": "good"}\r\n\n' + line + b"\n")
    source = JsonlSource(path)
    assert source[0].prompt == "good"
    with pytest.raises(BadData, match=r"train\.jsonl:4: " + message):
        source[1]


def test_a_file_that_cannot_be_opened_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"none\.jsonl: No such file.*expected a file of JSON lines"):
        JsonlSource(tmp_path / "none.jsonl")
    with pytest.raises(BadData, match="must be a file of JSON lines; got a folder"):
        JsonlSource(tmp_path)


@pytest.mark.parametrize("path", [3, None, b"a.jsonl", ["a.jsonl"]])
def test_a_path_must_be_a_path(path: Any) -> None:
    with pytest.raises(
        BadOption, match=f"path must be that of a file, .* got {type(path).__name__} "
    ):
        JsonlSource(path)


def test_bad_rows_are_dropped_with_a_report(write: Write) -> None:
    rows = [b'{"prompt": "p%d"}' % n for n in range(5)]
    bad = [b'{"prompt": ""}'] * 4 + [b"{"] + [rows[2]]
    path = write(b"\n".join(rows + bad))
    source = JsonlSource(path, on_bad_row="drop")
    assert [problem.prompt for problem in source] == [f"p{n}" for n in range(5)]
    report = source.report
    assert report is not None
    assert (report.kept, report.total_dropped) == (5, 6)
    assert report.dropped == {'"prompt" is empty': 4, "no JSON": 1, "the id of an earlier row": 1}
    lines = str(report).splitlines()
    assert lines[0] == "train: 5 of 11 rows kept"
    assert lines[1] == '  4 dropped: "prompt" is empty'
    assert lines[2] == f'    {path}:6: "prompt" is empty; a row needs one'
    assert len([line for line in lines if '"prompt" is empty; ' in line]) == 3
    assert f"{path}:11: the id of an earlier row; which is {path}:3; ids are unique" in str(report)


def test_checking_reads_all_rows_and_changes_nothing(write: Write) -> None:
    source = JsonlSource(write(b'{"prompt": "a"}\n{}\n'))
    assert source.check().dropped == {'no "prompt"': 1}
    assert len(source) == 2


def test_a_row_on_which_a_converter_raises_is_named(write: Write) -> None:
    def convert(row: object) -> Problem:
        return Problem(row["key"], "?")  # type: ignore[index]

    source = JsonlSource(write(b'{"key": "a"}\n{"kay": 1}\n'), convert)
    assert source[0].id == "a"
    with pytest.raises(BadData, match=r"train\.jsonl:2: the converter raised KeyError; 'key'"):
        source[1]


def test_two_rows_with_one_id_are_an_error_where_ids_matter(write: Write) -> None:
    path = write(b'{"id": 1, "prompt": "a"}\n\n{"id": "1", "prompt": "b"}\n')
    for use in (
        lambda: JsonlSource(path).know_ids(),
        lambda: JsonlSource(path).index_of("1"),
        lambda: JsonlSource(path, split="train"),
    ):
        with pytest.raises(BadData, match=r"train\.jsonl:3: the id of an earlier row.*jsonl:1;"):
            use()


def test_problems_are_found_by_id(write: Write) -> None:
    source = JsonlSource(write(b"".join(b'{"id": "p%d", "prompt": "?"}\n' % n for n in range(50))))
    assert [source.index_of(f"p{n}") for n in (0, 49, 7)] == [0, 49, 7]
    with pytest.raises(UnknownName, match=r"no problem 'q'\. Known: p0, p1, p2, …"):
        source.index_of("q")


def test_splits_share_nothing_and_together_are_all(write: Write) -> None:
    path = write(b"".join(b'{"prompt": "p%d"}\n' % n for n in range(400)))
    parts = {
        part: {problem.id for problem in JsonlSource(path, split=part)}
        for part in ("train", "dev", "test")
    }
    assert sum(len(ids) for ids in parts.values()) == 400
    assert len(set.union(*parts.values())) == 400
    assert 340 < len(parts["train"]) < 380
    assert JsonlSource(path, split="dev").name == "train/dev"
    halves = JsonlSource(path, name="x", split="b", fractions={"a": 0.5, "b": 0.5})
    assert 160 < len(halves) < 240
    assert halves.index_of(halves[3].id) == 3


def test_wrong_options_are_named(write: Write) -> None:
    path = write(b"")
    with pytest.raises(UnknownName, match=r"no split 'trian'\. Did you mean 'train'"):
        JsonlSource(path, split="trian")
    with pytest.raises(BadOption, match="on_bad_row must be 'raise' or 'drop'; got 'skip'"):
        JsonlSource(path, on_bad_row="skip")  # type: ignore[arg-type]


def test_a_source_can_be_pickled_and_read_from_many_threads(write: Write) -> None:
    path = write(b"".join(b'{"question": "p%d", "steps": ["s"]}\n' % n for n in range(300)))
    source = pickle.loads(pickle.dumps(JsonlSource(path, StepList(prompt="question"))))
    read: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: read.append([problem.prompt for problem in source]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [[f"p{n}" for n in range(300)]] * 4


def test_a_file_changed_under_the_source_is_an_error_and_a_replaced_one_is_not(
    write: Write, tmp_path: Path
) -> None:
    path = write(b'{"prompt": "a"}\n')
    source, pickled = JsonlSource(path), pickle.dumps(JsonlSource(path))
    new = tmp_path / "new"
    new.write_bytes(b'{"prompt": "other"}\n')
    new.replace(path)
    assert source[0].prompt == "a"  # still the old file
    with pytest.raises(BadData, match="the file was changed since it was opened; open it again"):
        pickle.loads(pickled)[0]
    source = JsonlSource(path)
    path.write_bytes(b"\n" + path.read_bytes())
    with pytest.raises(BadData, match="the file was changed"):
        source[0]


def test_long_lines_are_read_whole(write: Write) -> None:
    rows = [{"prompt": "x" * length} for length in (4083, 4084, 4085, 100_000, 3)]
    source = JsonlSource(write("\n".join(map(json.dumps, rows)).encode()))
    assert [problem.prompt for problem in source] == [row["prompt"] for row in rows]


def test_a_million_problems_cost_eight_bytes_each(write: Write) -> None:
    line = '{{"id": "p{0}", "prompt": "What is {0} + 1?", "steps": ["{0} + 1"]}}\n'
    path = write("".join([line.format(n) for n in range(10**6)]).encode())
    tracemalloc.start()
    source = JsonlSource(path)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(source) == 10**6
    assert held < 10e6
    assert peak < 20e6
    assert [source[n].id for n in (0, 999_999, 123_456)] == ["p0", "p999999", "p123456"]
    assert len(pickle.dumps(source)) < 10e6

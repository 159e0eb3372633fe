"""Logs of episodes: text while a part is filled, columns once it is full, exact after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from srl_agents.runs import episode_rows
from srl_agents.runs.episode_rows import EpisodeRows
from srl_env.errors import BadData
from tests.srl_agents.view.rows import FAILURE, episode, step


@pytest.fixture(autouse=True)
def _parts_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episode_rows, "PART", 4)


def row(number: int, **changes: Any) -> dict[str, Any]:
    return episode(step("ab", reward=number / 2), update=number // 2, group=number, **changes)


def log_of(path: Path, *numbers: int) -> EpisodeRows:
    rows = EpisodeRows(path)
    for number in numbers:
        rows.add({number: row(number)})
    return rows


def files(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_a_full_part_becomes_columns_and_reads_as_it_was_written(tmp_path: Path) -> None:
    rows = log_of(tmp_path / "log", *range(10))
    assert files(tmp_path / "log") == ["000000.parquet", "000001.parquet", "000002.jsonl"]
    for opened in (rows, EpisodeRows(tmp_path / "log")):
        assert opened.count == 10
        assert list(opened.read()) == [(n, {"number": n, **row(n)}) for n in range(10)]
        assert [n for n, _ in opened.read([1, 5, 9, 11])] == [1, 5, 9]
        assert (9 in opened, 10 in opened) == (True, False)
        columns = [
            each for part in opened.columns("number", "reward") for each in zip(*part, strict=True)
        ]
        assert columns == [(n, n / 2) for n in range(10)]


def test_small_columns_say_what_lists_and_ratings_need(tmp_path: Path) -> None:
    rows = EpisodeRows(tmp_path / "log")
    rows.add({0: row(0), 1: row(1, verdict={"correct": False, "answer": None})})
    rows.add({2: row(2, verdict=None, failure=FAILURE), 3: row(3)})
    (found,) = rows.columns("problem", "part", "correct", "failure", "reward", "steps")
    assert list(zip(*found, strict=True)) == [
        ("sum/0", "srl", True, "", 0.0, 1),
        ("sum/1", "srl", False, "", 0.5, 1),
        ("sum/2", "srl", None, "VerifierTimeout", None, 1),
        ("sum/3", "srl", True, "", 1.5, 1),
    ]


def test_the_files_do_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    log_of(tmp_path / "one", *range(7)).sort()
    log_of(tmp_path / "other", 6, 2, 4, 0, 3, 5, 1).sort()
    assert content(tmp_path / "one") == content(tmp_path / "other")


def test_a_later_row_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    rows = log_of(tmp_path / "log", *range(6))
    for number in (1, 5):
        rows.add({number: row(number, verdict=None)})
    assert rows.count == EpisodeRows(tmp_path / "log").count == 6
    verdicts = [found["verdict"] for _, found in EpisodeRows(tmp_path / "log").read()]
    assert [verdict is None for verdict in verdicts] == [n in (1, 5) for n in range(6)]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 8, 9, 10])
def test_a_truncated_log_continues_as_if_it_had_stopped_there(tmp_path: Path, count: int) -> None:
    log_of(tmp_path / "whole", *range(10))
    log = log_of(tmp_path / "log", *range(10))
    log.truncate(count)
    assert log.count == EpisodeRows(tmp_path / "log").count == count
    log_of(tmp_path / "log", *range(count, 10))
    assert content(tmp_path / "log") == content(tmp_path / "whole")


def test_a_kill_between_text_and_columns_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log_of(log, 0, 1, 2)
    text = (log / "000000.jsonl").read_bytes()
    log_of(log, 3)
    last = json.dumps({"number": 3, **row(3)}).encode()
    (log / "000000.jsonl").write_bytes(text + last + b"\n")  # the text was not yet removed
    (log / ".000000.parquet.part").write_bytes(b"PAR1")
    assert [n for n, _ in EpisodeRows(log).read()] == [0, 1, 2, 3]
    log_of(log, 4)
    assert files(log) == ["000000.parquet", "000001.jsonl"]


def test_a_last_line_without_an_end_is_removed_unless_the_log_is_only_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log_of(log, 0, 1)
    path = log / "000000.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"number": 2, "upd')
    assert EpisodeRows(log, repair=False).count == 2
    assert len(path.read_bytes()) > len(whole)
    assert EpisodeRows(log).count == 2
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", ["{}", "[]", "7", '{"steps": [7]}', "\x00", "[" * 100_000])
def test_a_line_that_is_no_episode_is_named_and_stays(tmp_path: Path, line: str) -> None:
    path = tmp_path / "000000.jsonl"
    path.write_text(f"{json.dumps(row(0))}\n{line}\n")
    before = path.read_bytes()
    with pytest.raises(BadData, match=r"000000\.jsonl:2: must be an episode; got ") as caught:
        EpisodeRows(tmp_path)
    assert len(str(caught.value)) < 500
    assert path.read_bytes() == before


def test_one_file_of_a_log_is_read_alone(tmp_path: Path) -> None:
    log_of(tmp_path / "log", *range(9))
    alone = EpisodeRows(tmp_path / "log" / "000001.parquet")
    assert [n for n, _ in alone.read()] == [4, 5, 6, 7]
    assert [n for n, _ in alone.read([5])] == [5]
    other = tmp_path / "mine.jsonl"  # of another tool, without numbers
    other.write_text("".join(json.dumps(row(n)) + "\n" for n in range(6)))
    assert [n for n, _ in EpisodeRows(other).read([5])] == [5]
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(BadData, match=r"bad\.parquet must be a part of a log; got "):
        EpisodeRows(tmp_path / "bad.parquet")

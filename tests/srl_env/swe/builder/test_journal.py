"""The journal of a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from srl_env.errors import BadOption
from srl_env.swe.builder.journal import Journal


def test_what_was_found_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.jsonl"
    journal = Journal(path, {"seed": 1})
    assert journal.result("trial", "ä", lambda: {"failing": ["t"]}) == {"failing": ["t"]}
    assert Journal(path, {"seed": 1}).result("trial", "ä", lambda: 1 / 0) == {"failing": ["t"]}
    assert Journal(path, {"seed": 1}).get("other", "ä") is None


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_line_cut_short_is_as_if_it_never_was(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    journal = Journal(path, {"seed": 1})
    journal.result("trial", "one", lambda: 1)
    journal.result("trial", "two", lambda: 2)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path, {"seed": 1})
    assert (again.get("trial", "one"), again.get("trial", "two")) == (1, None)
    again.result("trial", "two", lambda: 3)
    assert Journal(path, {"seed": 1}).get("trial", "two") == 3


def test_results_of_something_else_are_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "a.jsonl", {"seed": 1})
    with pytest.raises(BadOption, match=r"other options.*delete it"):
        Journal(tmp_path / "a.jsonl", {"seed": 2})


def test_a_full_disk_leaves_what_was_written_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    journal = Journal(path, {"seed": 1})
    journal.result("trial", "one", lambda: 1)

    def half(data: object, **_: object) -> str:
        with path.open("a") as file:
            file.write("half a li")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("srl_env.swe.builder.journal.json.dumps", half)
        with pytest.raises(OSError, match="No space"):
            journal.result("trial", "two", lambda: 2)
    journal.result("trial", "three", lambda: 3)
    again = Journal(path, {"seed": 1})
    assert [again.get("trial", key) for key in ("one", "two", "three")] == [1, None, 3]

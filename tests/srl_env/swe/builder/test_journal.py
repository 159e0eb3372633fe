"""The journal of a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from srl_env.errors import BadOption
from srl_env.swe.builder.journal import Journal


def test_what_was_found_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.jsonl"
    journal = Journal(path, {"seed": 1})
    journal.put("probe", "ä", {"failing": ["t"]})
    assert Journal(path, {"seed": 1}).get("probe", "ä") == {"failing": ["t"]}
    assert Journal(path, {"seed": 1}).get("make", "ä") is None


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_line_cut_short_is_as_if_it_never_was(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    journal = Journal(path, {"seed": 1})
    journal.put("probe", "one", 1)
    journal.put("probe", "two", 2)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path, {"seed": 1})
    assert (again.get("probe", "one"), again.get("probe", "two")) == (1, None)
    again.put("probe", "two", 3)
    assert Journal(path, {"seed": 1}).get("probe", "two") == 3


def test_results_of_something_else_are_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "a.jsonl", {"seed": 1})
    with pytest.raises(BadOption, match=r"other options.*delete it"):
        Journal(tmp_path / "a.jsonl", {"seed": 2})

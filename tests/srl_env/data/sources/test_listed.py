"""Problems from a list."""

from __future__ import annotations

import pickle

import pytest

from srl_env.data import ListSource
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import Problem, ProblemSource

PROBLEMS = [Problem(str(i), f"{i} + 1?", str(i + 1)) for i in range(100)]


def test_problems_are_found_by_place_and_id() -> None:
    source = ListSource(iter(PROBLEMS), "ones")
    assert isinstance(source, ProblemSource)
    assert (len(source), source.name, source[3].id, source.index_of("7")) == (100, "ones", "3", 7)
    assert list(pickle.loads(pickle.dumps(source))) == PROBLEMS
    with pytest.raises(IndexError):
        source[100]
    with pytest.raises(UnknownName, match="Did you mean '1'"):
        source.index_of("1o")


def test_splits_share_nothing_and_leave_nothing_out() -> None:
    parts = {split: ListSource(PROBLEMS, "ones", split=split) for split in ("train", "dev", "test")}
    assert [part.name for part in parts.values()] == ["ones/train", "ones/dev", "ones/test"]
    ids = [problem.id for part in parts.values() for problem in part]
    assert sorted(ids, key=int) == [problem.id for problem in PROBLEMS]
    assert len(parts["train"]) > 80


def test_what_cannot_be_a_source_is_refused() -> None:
    with pytest.raises(BadOption, match="ids must be unique; got '1' twice"):
        ListSource([PROBLEMS[1], PROBLEMS[1]])
    with pytest.raises(BadOption, match="number 0 is a dict.*problem_from_row"):
        ListSource([{"prompt": "?"}])  # type: ignore[list-item]
    with pytest.raises(UnknownName, match="no split 'tset'. Did you mean 'test'"):
        ListSource(PROBLEMS, split="tset")

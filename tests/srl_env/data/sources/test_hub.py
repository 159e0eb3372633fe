from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import pytest

from srl_env.data import DatasetSource, Numbered, gsm8k_problem
from srl_env.errors import BadData, BadOption, MissingExtra, UnknownName
from srl_env.problem import ProblemSource

datasets = pytest.importorskip("datasets")

ROWS = [{"question": f"q{n}?", "answer": f"{n} it is\n#### {n}"} for n in range(20)]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Data sets are cached in the test's own folder, and nothing goes to the network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def test_a_data_set_is_a_source_of_problems() -> None:
    source = DatasetSource(datasets.Dataset.from_list(ROWS), gsm8k_problem, name="gsm8k/train")
    assert (len(source), source.name, source[7].answer) == (20, "gsm8k/train", "7")
    assert isinstance(source, ProblemSource)
    assert source.index_of(source[13].id) == 13
    assert pickle.loads(pickle.dumps(source))[7] == source[7]


def test_canonical_rows_come_back_though_columns_are_filled_with_null() -> None:
    rows = [
        {
            "prompt": "a",
            "id": None,
            "answer": None,
            "steps": [{"action": "x"}, {"action": "y", "title": "T"}],
        },
        {"prompt": "b", "id": "b", "answer": "4"},
    ]
    first, second = DatasetSource(datasets.Dataset.from_list(rows))
    assert [step.title for step in first.trajectories[0].steps] == [None, "T"]
    assert (second.id, second.answer, second.trajectories) == ("b", "4", ())


def test_a_bad_row_is_named_by_its_number_or_dropped_with_a_report() -> None:
    dataset = datasets.Dataset.from_list([*ROWS, {"question": "q?", "answer": "none"}])
    with pytest.raises(BadData, match='numbers, row 20: no "####" in "answer"'):
        DatasetSource(dataset, gsm8k_problem, name="numbers")[20]
    source = DatasetSource(dataset, gsm8k_problem, split="train", on_bad_row="drop")
    assert source.report is not None
    assert source.report.dropped == {'no "####" in "answer"': 1}
    assert 0 < len(source) <= 20


@pytest.mark.parametrize("builder", ["json", "parquet"])
def test_local_files_are_loaded_as_from_the_hub(builder: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{builder}"
    if builder == "json":
        path.write_text("\n".join(map(json.dumps, ROWS)))
    else:
        datasets.Dataset.from_list(ROWS).to_parquet(path)
    source = DatasetSource.from_hub(
        builder, gsm8k_problem, load={"data_files": str(path)}, on_bad_row="drop"
    )
    assert (len(source), source.name) == (20, f"{builder}/train")
    assert source[3].trajectories[0].actions == ("3 it is", "#### 3")


def test_only_a_data_set_with_numbered_rows_will_do() -> None:
    dataset = datasets.Dataset.from_list(ROWS)
    for wrong in (dataset.to_iterable_dataset(), datasets.DatasetDict(train=dataset)):
        with pytest.raises(BadOption, match="Fix: choose a split, and do not stream"):
            DatasetSource(wrong, Numbered())


def test_columns_that_are_missing_are_named() -> None:
    with pytest.raises(BadData, match=r'row 0: no "deepseek_attempt"; a row needs one\. Known: '):
        DatasetSource(datasets.Dataset.from_list(ROWS), Numbered())[0]
    with pytest.raises(UnknownName, match=r"no split 'tests'\. Did you mean 'test'"):
        DatasetSource(datasets.Dataset.from_list(ROWS), gsm8k_problem, split="tests")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'srl-env\[data\]'"):
        DatasetSource.from_hub("openai/gsm8k", gsm8k_problem, config="main")

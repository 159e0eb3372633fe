"""Files, hub and sample: the same problems come from each, in disjoint splits."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import srl_env
from srl_env.check import Checker
from srl_env.errors import BadData, BadOption, UnknownName
from srl_env.hub import hub_or_cache
from srl_tasks.recorded import loading
from srl_tasks.recorded.gsm8k import GSM8K, GSM8KEnv
from srl_tasks.recorded.loading import READ_AT_ONCE, SAMPLES, open_problems
from srl_tasks.recorded.numbered_solutions import NumberedSolutionsEnv

ENVIRONMENTS = (GSM8KEnv, NumberedSolutionsEnv)
each = pytest.mark.parametrize("env", ENVIRONMENTS, ids=lambda env: env.__name__)


def prompts(env: srl_env.ReasoningEnv) -> set[str]:
    return {env.problems[index].prompt for index in range(len(env.problems))}


def write_rows(path: Path, count: int) -> Path:
    """A file of GSM8K rows, question i being answered by i + 1."""
    lines = [
        json.dumps({"question": f"What is {i} + 1?", "answer": f"{i}+1 = {i + 1}\n#### {i + 1}"})
        for i in range(count)
    ]
    path.write_text("\n".join(lines), "utf-8")
    return path


@each
def test_the_splits_of_the_sample_are_disjoint_not_empty_and_make_up_the_whole(
    env: type[GSM8KEnv] | type[NumberedSolutionsEnv],
) -> None:
    train, dev, test, whole = (
        prompts(env(source="sample", split=split)) for split in ("train", "dev", "test", "all")
    )
    assert min(len(train), len(dev), len(test)) >= 5
    assert len(train) + len(dev) + len(test) == len(whole)
    assert train | dev | test == whole


@each
def test_seeds_42_and_43_begin_their_own_episodes(
    env: type[GSM8KEnv] | type[NumberedSolutionsEnv],
) -> None:
    made = env(source="sample", split="all")
    sequences = []
    for seed in (42, 43, 42):
        made.reset(seed=seed)
        sequences.append([made.problem.id, *(made.reset()[1]["problem_id"] for _ in range(9))])
    assert sequences[0] == sequences[2]
    assert sum(a == b for a, b in zip(*sequences[:2], strict=True)) <= 2


def test_a_file_gives_a_twentieth_each_to_dev_and_test(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "sums.jsonl", 2000)
    train, dev, test, whole = (
        prompts(GSM8KEnv(path, split=split)) for split in ("train", "dev", "test", "all")
    )
    assert (len(dev), len(test)) == (pytest.approx(100, abs=30), pytest.approx(100, abs=30))
    assert len(train) + len(dev) + len(test) == len(whole) == 2000
    assert train | dev | test == whole


def test_a_problem_stays_in_its_split_when_rows_are_added(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "sums.jsonl", 200)
    before = prompts(GSM8KEnv(path, split="test"))
    write_rows(path, 2000)
    after = prompts(GSM8KEnv(path, split="test"))
    assert before < after


def test_a_file_is_opened_once_for_all_environments_and_again_when_it_changed(
    tmp_path: Path,
) -> None:
    path = write_rows(tmp_path / "sums.jsonl", 50)
    first, second = GSM8KEnv(path), GSM8KEnv(path)
    assert first.problems is second.problems
    write_rows(path, 60)
    assert GSM8KEnv(path).problems is not first.problems


def test_the_name_of_the_source_says_file_and_split(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "sums.jsonl", 50)
    assert GSM8KEnv(path).problems.name == "sums/train"
    assert GSM8KEnv(path, split="all").problems.name == "sums"
    assert GSM8KEnv(source="sample", split="dev").problems.name == "gsm8k-sample/dev"


def test_a_bad_row_is_an_error_with_file_and_line_or_is_dropped_and_reported(
    tmp_path: Path,
) -> None:
    path = write_rows(tmp_path / "sums.jsonl", 50)
    with path.open("a", encoding="utf-8") as file:
        file.write('\n{"question": "And now?", "answer": "I do not know"}\n')
    with pytest.raises(BadData, match=r'sums\.jsonl:51: no "####" in "answer"'):
        GSM8KEnv(path)
    env = GSM8KEnv(path, split="all", on_bad_row="drop")
    assert len(env.problems) == 50
    assert 'no "####" in "answer"' in str(env.problems.report)  # type: ignore[attr-defined]


def test_a_row_that_is_there_twice_is_an_error_in_every_split(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "sums.jsonl", 5)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" + path.read_text("utf-8").splitlines()[0])
    for split in ("train", "all"):
        with pytest.raises(
            BadData, match=r"sums\.jsonl:6: the id of an earlier row; which is .*:1;"
        ):
            GSM8KEnv(path, split=split)


def test_a_whole_file_that_is_large_opens_without_reading_its_rows(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "sums.jsonl", READ_AT_ONCE)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" + path.read_text("utf-8").splitlines()[0])
    env = GSM8KEnv(path, split="all")
    assert env.reset(seed=0)[1]["problem_id"]
    result = Checker(env, problems=1, hostile=0).run("problems are drawn")
    assert f"sums.jsonl:{READ_AT_ONCE + 1}: the id of an earlier row" in str(result)


def test_a_file_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"none\.jsonl: No such file or directory"):
        GSM8KEnv(tmp_path / "none.jsonl")


def test_impossible_combinations_and_unknown_names_are_errors(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "sums.jsonl", 3)
    with pytest.raises(BadOption, match="give path or source='sample', not both"):
        GSM8KEnv(path, source="sample")
    with pytest.raises(UnknownName, match=r"no split 'tset'\. Did you mean 'test'"):
        GSM8KEnv(path, split="tset")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match=r"no source 'simple'\. Did you mean 'sample'"):
        GSM8KEnv(source="simple")  # type: ignore[arg-type]


def without_network(code: str, cache: Path) -> list[str]:
    """What code prints in a process of its own: the hub's client reads its settings on import."""
    folders = [str(Path(srl_env.__file__).parents[1]), str(SAMPLES.parents[2])]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(cache),
        "PYTHONPATH": os.pathsep.join(folders),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=120,
    )
    return done.stdout.strip().splitlines()


def test_a_hub_out_of_reach_is_an_error_that_names_the_ways_out(tmp_path: Path) -> None:
    code = (
        "import srl_env\n"
        "for name in ('srl/GSM8K-v0', 'srl/NumberedSolutions-v0'):\n"
        "    try:\n"
        "        srl_env.make(name)\n"
        "    except srl_env.errors.BadOption as error:\n"
        "        print(error)\n"
    )
    first, second = without_network(code, tmp_path)
    assert first.startswith("could not load 'openai/gsm8k' from the hub (ConnectionError: ")
    assert second.startswith("could not load 'simplescaling/s1K-1.1' from the hub")
    for line in (first, second):
        assert "Give path= to a file of such rows, or source='sample'" in line


def test_the_hubs_own_test_split_is_test_and_its_train_split_gives_train_and_dev(
    tmp_path: Path,
) -> None:
    """A folder laid out as on the hub stands in for it: 200 rows to train on, 20 to test."""
    (tmp_path / "hub").mkdir()
    write_rows(tmp_path / "hub/train.jsonl", 200)
    write_rows(tmp_path / "hub/test.jsonl", 20)
    code = (
        "from srl_env.data import gsm8k_problem\n"
        "from srl_tasks.recorded.loading import RowData, open_problems\n"
        f"data = RowData('gsm8k', gsm8k_problem, {str(tmp_path / 'hub')!r}, hub_test=True)\n"
        "for split in ('train', 'dev', 'test', 'all'):\n"
        "    print(len(open_problems(data, None, 'hub', split, 'raise')))\n"
    )
    train, dev, test, whole = map(int, without_network(code, tmp_path / "cache"))
    assert (test, whole) == (20, 200)
    assert train + dev == 200
    assert dev == pytest.approx(10, abs=8)


def test_problems_are_opened_without_an_environment_too() -> None:
    problems = open_problems(GSM8K, None, "sample", "all", "raise")
    assert len(problems) == len((SAMPLES / "gsm8k.jsonl").read_text("utf-8").splitlines())


@pytest.mark.parametrize("name", ["srl/GSM8K-v0", "srl/NumberedSolutions-v0"])
def test_arguments_are_checked_before_the_hub_is_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_from_hub", lambda *_: pytest.fail("the hub was asked"))
    with pytest.raises(UnknownName, match=r"argument .*'max_step'. Did you mean 'max_steps'"):
        srl_env.make(name, max_step=3)


def test_a_hub_out_of_reach_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub.constants")
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with hub_or_cache():
            assert hub.HF_HUB_OFFLINE is True
        closed.listen()
        with hub_or_cache():
            assert hub.HF_HUB_OFFLINE is False
    assert hub.HF_HUB_OFFLINE is False

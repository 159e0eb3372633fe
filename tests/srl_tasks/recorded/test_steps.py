"""Files of problems as environments: every known form of row, and what is wrong with others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import srl_env
from srl_env.errors import BadData, BadOption, UnknownName
from srl_tasks.recorded.steps import BOXED_NOTE, NOTE

ROW = {"prompt": "What is 2 + 3 + 4?", "steps": ["2 + 3 = 5", "5 + 4 = 9"], "answer": "9"}


def write(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"steps:{path}"


def test_prompt_steps_and_answer_are_a_two_mode_environment(tmp_path: Path) -> None:
    env = srl_env.make(write(tmp_path, ROW), split="all")
    env.reset(options={"reward_mode": "srl"})
    assert [env.step(env.expert_completion())[1] for _ in range(3)] == [1.0, 1.0, 1.0]
    _, info = env.reset(options={"reward_mode": "rlvr"})
    assert NOTE in info["messages"][0]["content"]
    results = [env.step(f"<think></think>{said}") for said in ("guess", "#### 9.0")]
    assert [result[1] for result in results] == [0.0, 1.0]
    assert results[-1][4]["verdict"] == {"correct": True, "answer": "9.0"}


def test_the_whole_check_passes_on_a_file(tmp_path: Path) -> None:
    rows = [{**ROW, "prompt": f"What is {n} + 3?", "steps": [f"{n} + 3 = {n + 3}"],
             "answer": n + 3} for n in range(40)]  # fmt: skip
    report = srl_env.check_env(write(tmp_path, *rows), hostile=100)
    assert report.passed


@pytest.mark.parametrize(
    ("row", "last"),
    [
        (ROW, "#### 9"),
        ({**ROW, "steps": ["2 + 3 = 5", "so #### 9"]}, "so #### 9"),
        ({**ROW, "steps": ["5", r"\boxed{9}"]}, r"\boxed{9}"),
        ({"question": "2 + 3 + 4?", "answer": "2 + 3 = 5\n5 + 4 = 9\n#### 9"}, "#### 9"),
        (
            {
                "question": "2 + 3 + 4?",
                "deepseek_attempt": "1. **Add** 5\n2. **Add** $\\boxed{9}$",
                "solution": "9",
            },
            r"$\boxed{9}$",
        ),
    ],
)
def test_every_form_ends_with_its_answer_stated(
    row: dict[str, Any], last: str, tmp_path: Path
) -> None:
    (problem,) = srl_env.make(write(tmp_path, row), split="all").unwrapped.problems
    assert problem.answer == "9"
    assert problem.trajectories[0].actions[-1] == last


def test_columns_that_no_problem_uses_are_ignored(tmp_path: Path) -> None:
    env = srl_env.make(write(tmp_path, {**ROW, "level": 3}), split="all")
    assert env.unwrapped.problems[0].answer == "9"


STEPS = ["2 + 3 = 5", "#### 5"]


def as_csv(path: Path) -> None:
    cell = json.dumps(STEPS).replace('"', '""')
    path.write_text(f'prompt,steps,answer\n"What is 2 + 3?","{cell}",5\n')


def as_semicolons(path: Path) -> None:
    path.write_text(f'prompt;steps;answer\n"What is 2 + 3?";"{STEPS}";5\n')


def as_json_under_a_key(path: Path) -> None:
    row = {"prompt": "What is 2 + 3?", "steps": STEPS, "answer": 5}
    path.write_text(json.dumps({"version": "1", "data": [row], "about": {}}, indent=1))


def as_xlsx(path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["prompt", "steps", "answer"])
    book.active.append(["What is 2 + 3?", json.dumps(STEPS), 5.0])
    book.save(path)


def as_parquet(path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    columns = {"prompt": ["What is 2 + 3?"], "steps": [STEPS], "answer": ["5"]}
    write_table(pyarrow.table(columns), path)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("a.csv", as_csv),
        ("a.CSV", as_semicolons),
        ("a.json", as_json_under_a_key),
        ("a.xlsx", as_xlsx),
        ("a.parquet", as_parquet),
    ],
)
def test_tables_are_environments(name: str, save: Callable[[Path], None], tmp_path: Path) -> None:
    save(tmp_path / name)
    env = srl_env.make(f"steps:{tmp_path / name}", split="all").unwrapped
    (problem,) = env.problems
    assert (problem.prompt, problem.answer) == ("What is 2 + 3?", "5")
    assert list(problem.trajectories[0].actions) == STEPS


def test_a_folder_of_splits_is_an_environment_whose_splits_are_its_files(tmp_path: Path) -> None:
    for name, count in (("train", 3), ("test", 2)):
        rows = [{**ROW, "id": f"{name}-{n}"} for n in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    sizes = {
        split: len(srl_env.make(f"steps:{tmp_path}", split=split).unwrapped.problems)
        for split in ("train", "test", "all")
    }
    assert sizes == {"train": 3, "test": 2, "all": 5}
    with pytest.raises(BadOption, match="got 'dev'"):
        srl_env.make(f"steps:{tmp_path}", split="dev")


def test_rows_of_agents_are_refused_with_their_form(tmp_path: Path) -> None:
    name = write(tmp_path, {"instance_id": "i", "messages": []})
    with pytest.raises(BadOption, match="with rows of the form swe-trajectory"):
        srl_env.make(name)


def test_answers_are_boxed_for_mathematics(tmp_path: Path) -> None:
    name = write(tmp_path, {**ROW, "answer": r"\frac{1}{2}"})
    env = srl_env.make(name, split="all", answers="math")
    env.reset(options={"reward_mode": "rlvr", "granularity": "solution"})
    assert env.unwrapped.style.note == BOXED_NOTE
    assert env.unwrapped.expert_steps[-1].action == r"\boxed{\frac{1}{2}}"
    assert env.step(r"<think></think>\boxed{0.5}")[1] == 1.0


def test_columns_are_renamed_and_others_passed_over(tmp_path: Path) -> None:
    name = write(tmp_path, {"q": "1 + 1?", "how": ["1 + 1 = 2"], "answer": 2, "level": "easy"})
    env = srl_env.make(name, split="all", columns={"prompt": "q", "steps": "how"})
    assert env.unwrapped.problems[0].prompt == "1 + 1?"
    with pytest.raises(UnknownName, match="Did you mean 'prompt'"):
        srl_env.make(name, columns={"promt": "q"})
    with pytest.raises(UnknownName, match="Did you mean 'columns'"):
        srl_env.make(name, colums={"prompt": "q"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"answer": None},
            r'rows.jsonl:1: no "answer"; a row needs one to be verified by; it has ',
        ),
        ({"steps": ["#### 9", "done"]}, "rows.jsonl:1: a step before the last states an answer"),
        ({"answer": "two\nlines"}, "the answer cannot be stated on a line; got 'two"),
        ({"metadata": 3}, '"metadata" is no object; got int 3'),
        ({"prompt": 3}, '"prompt" is no text; got int 3'),
    ],
)
def test_bad_rows_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    name = write(tmp_path, {**ROW, **change})
    with pytest.raises(BadData, match=message):
        srl_env.make(name)


def test_rows_without_steps_are_problems_without_an_expert(tmp_path: Path) -> None:
    name = write(tmp_path, {"prompt": "1 + 1?", "answer": "2"})
    env = srl_env.make(name, split="all", reward_mode="rlvr")
    observation, _ = env.reset(seed=0)
    assert "a line with ####" in observation
    _, reward, terminated, _, info = env.step("<think>add</think>#### 2")
    assert (reward, terminated, info["verdict"]["correct"]) == (1.0, True, True)
    with pytest.raises(BadOption, match="no expert trajectory; use"):
        env.reset(seed=0, options={"reward_mode": "srl"})
    boxed = srl_env.make(name, split="all", answers="math", reward_mode="rlvr")
    assert "boxed" in boxed.reset(seed=0)[0]


def test_splits_of_a_small_file_may_be_empty_and_say_so(tmp_path: Path) -> None:
    with pytest.raises(
        BadOption,
        match=r"got 'test' of .* Fix: a split with problems: 'train' \(\d+\), 'all' \(\d+\)",
    ):
        srl_env.make(write(tmp_path, ROW), split="test")
    with pytest.raises(UnknownName, match="Did you mean 'test'"):
        srl_env.make(write(tmp_path, ROW), split="tset")


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="needs a file: path="):
        srl_env.make("srl/Steps-v0")
    with pytest.raises(UnknownName, match="no kind of answers 'maths'. Did you mean 'math'"):
        srl_env.make(write(tmp_path, ROW), answers="maths")

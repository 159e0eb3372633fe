from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from srl_env.data import JsonlSource, StepList
from srl_env.data.forms.detect import FORMS, Reading, assumed_split, read_problems
from srl_env.data.forms.form import ReadOptions
from srl_env.data.rows import BadRow
from srl_env.data.splits import split_of
from srl_env.errors import BadData, BadOption, UnknownName
from srl_env.problem import Problem

SAMPLES = Path(__file__).parents[4] / "envs/srl_tasks/recorded/samples"
CALL = "<function=bash>\n<parameter=command>ls</parameter>\n</function>"
MESSAGES = [
    {"role": "user", "content": "<pr_description>Mend it</pr_description>"},
    {"role": "assistant", "content": f"Look.\n{CALL}"},
    {"role": "user", "content": "OBSERVATION:\na.py"},
    {"role": "assistant", "content": "<function=submit>\n</function>"},
]
EXAMPLES: dict[str, dict[str, Any]] = {
    "atif": {
        "schema_version": "ATIF-v1.7",
        "steps": [{"source": "user", "message": "a"}, {"source": "agent", "message": "b"}],
    },
    "pivot": {
        "responses_create_params": {"input": "a"},
        "expected_action": {"type": "message", "content": "b"},
    },
    "swe-trajectory": {"messages": json.dumps(MESSAGES), "instance_id": "a__1", "traj_id": "t"},
    "swe-instance": {
        "instance_id": "a__1",
        "repo": "swesmith/a",
        "patch": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
        "problem_statement": "Mend it",
        "FAIL_TO_PASS": ["t"],
        "PASS_TO_PASS": [],
    },
    "srl-env": {"prompt": "a", "steps": ["b"], "answer": "a\nb"},
    "gsm8k": {"question": "a", "answer": "b\n#### 3"},
    "steps": {"problem": "a", "cot": ["b", {"action": "c", "title": "T"}], "target": 3},
    "numbered": {"question": "a", "response": "1. **A** b\n2. **C** d \\boxed{3}"},
    "raw": {"input": "a", "output": "b.\n\nc."},
}


def reading(tmp_path: Path, rows: list[Any], **options: Any) -> Reading:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_problems([path], ReadOptions(**options))


def problems(found: Reading) -> list[Problem]:
    return [item.problem for item in found if isinstance(item.problem, Problem)]


def test_every_form_has_an_example_here() -> None:
    assert set(EXAMPLES) == set(FORMS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_form_is_detected_and_read(tmp_path: Path, name: str) -> None:
    found = reading(tmp_path, [EXAMPLES[name]])
    assert found.form.name == name
    (problem,) = problems(found)
    assert problem.prompt in ("a", "Mend it", "[user]\na")
    assert [len(t.steps) for t in problem.trajectories] == {
        "atif": [1],
        "pivot": [1],
        "swe-instance": [],
        "srl-env": [1],
    }.get(name, [2])


def test_a_form_needs_most_of_the_first_rows_and_the_others_are_bad(tmp_path: Path) -> None:
    rows = [EXAMPLES["gsm8k"], {"question": "a", "answer": "no mark"}, EXAMPLES["gsm8k"]]
    found = reading(tmp_path, rows)
    items = list(found)
    assert found.form.name == "gsm8k"
    assert [type(item.problem) for item in items] == [Problem, BadRow, Problem]
    assert found.place(items[1]).endswith("data.jsonl:2")


def test_rows_without_steps_are_ours_too(tmp_path: Path) -> None:
    (problem,) = problems(reading(tmp_path, [{"prompt": "a", "answer": "3"}]))
    assert (problem.answer, problem.trajectories) == ("3", ())


def test_an_answer_of_several_lines_without_steps_is_a_solution(tmp_path: Path) -> None:
    found = reading(tmp_path, [{"prompt": "a", "answer": "b\nc"}])
    assert found.form.name == "raw"
    assert problems(found)[0].trajectories[0].actions == ("b", "c")


def test_columns_can_be_named(tmp_path: Path) -> None:
    row = {"id": "x", "input": "not this", "task": "a", "text": "b\nc", "key": "7", "answer": "no"}
    columns = {"prompt": "task", "solution": "text", "answer": "key"}
    found = reading(tmp_path, [row], columns=columns)
    assert found.form.name == "raw"
    assert found.about == (
        "raw (prompt in 'task', solution in 'text', answer in 'key', split into lines)"
    )
    (problem,) = problems(found)
    assert (problem.id, problem.prompt, problem.answer) == ("x", "a", "7")
    steps = reading(tmp_path, [{"t": "a", "s": ["b"]}], columns={"prompt": "t", "steps": "s"})
    assert steps.convert == StepList("t", "s")


@pytest.mark.parametrize(
    ("solution", "splitter"),
    [("One. Two.", "sentences"), ("One.\nTwo.", "lines"), ("One.\n\nTwo.\nX", "paragraphs")],
)
def test_a_raw_solution_is_split_as_coarsely_as_it_can_be(
    tmp_path: Path, solution: str, splitter: str
) -> None:
    found = reading(tmp_path, [{"question": "a", "solution": solution}])
    assert found.about.endswith(f"split into {splitter})")


def test_a_conversation_beside_a_solution_is_not_a_trajectory_of_an_agent(tmp_path: Path) -> None:
    row = {"problem": "a", "solution": "b\nc", "messages": [{"role": "user", "content": "a"}]}
    assert reading(tmp_path, [row]).form.name == "raw"


def test_naming_a_splitter_makes_any_solution_a_raw_one(tmp_path: Path) -> None:
    found = reading(
        tmp_path, [EXAMPLES["gsm8k"]], splitter="calculations", answer_step="#### {answer}"
    )
    assert problems(found)[0].trajectories[0].actions == ("b", "#### 3")


def test_the_samples_read_as_the_environments_read_them() -> None:
    for name, form in (("gsm8k", "gsm8k"), ("numbered_solutions", "numbered")):
        path = SAMPLES / f"{name}.jsonl"
        found = read_problems([path])
        assert found.form.name == form
        assert problems(found) == list(JsonlSource(path, found.convert))


def test_a_splitter_that_raises_makes_bad_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_raising_splitter.py").write_text("def split(text):\n    return [1][text]\n")
    monkeypatch.chdir(tmp_path)
    rows = [{"question": "a", "solution": "b"}]
    (item,) = reading(tmp_path, rows, splitter="my_raising_splitter:split")
    assert isinstance(item.problem, BadRow)
    assert item.problem.reason == "the converter raised TypeError"


def test_a_split_is_the_files_or_one_by_the_hash_of_the_id(tmp_path: Path) -> None:
    row = {"id": "x", "prompt": "a"}
    (tmp_path / "test.jsonl").write_text(json.dumps(row))
    (item,) = read_problems([tmp_path / "test.jsonl"])
    assert assumed_split(item) == "test"
    halves = {"a": 0.5, "b": 0.5}
    (item,) = read_problems([tmp_path / "test.jsonl"], ReadOptions(splits=halves))
    assert assumed_split(item) == split_of("x", halves)
    (item,) = reading(tmp_path, [row])
    assert (item.split, assumed_split(item)) == (None, split_of("x"))


def test_rows_in_no_known_form_are_an_error_that_lists_the_forms(tmp_path: Path) -> None:
    with pytest.raises(
        BadData, match="unknown columns x, y. Fix: .*prompt=QUESTION.* gsm8k, .*raw"
    ):
        reading(tmp_path, [{"x": 1, "y": 2}])
    with pytest.raises(BadData, match="data.jsonl:1: no JSON object"):
        reading(tmp_path, [[1]])
    with pytest.raises(BadData, match="empty; expected rows, a problem in each"):
        reading(tmp_path, [])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"splits": {"train": 0.5}}, BadOption, "fractions must not be negative and sum to 1"),
        ({"form": "gsm8"}, UnknownName, "no form 'gsm8'. Did you mean 'gsm8k'"),
        ({"columns": {"promt": "x"}}, UnknownName, "Did you mean 'prompt'"),
        ({"form": "gsm8k", "splitter": "lines"}, BadOption, "splitter must go with the form 'raw'"),
    ],
)
def test_options_that_cannot_work_are_errors(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        reading(tmp_path, [[1]], **options)

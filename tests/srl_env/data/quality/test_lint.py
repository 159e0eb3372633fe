from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from srl_env.data.forms.detect import read_problems
from srl_env.data.forms.form import ReadOptions
from srl_env.data.quality import lint as linting
from srl_env.data.quality.lint import LintReport, lint
from srl_env.data.quality.rules import RULES, LintOptions
from srl_env.errors import BadOption, UnknownName, VerifierTimeout
from srl_env.problem import Problem
from srl_env.verifiers import NumericVerifier, Verdict

SAMPLES = Path(__file__).parents[4] / "envs/srl_tasks/recorded/samples"
GOOD = {"prompt": "What is 2 + 3?", "answer": "5", "steps": ["2 + 3 = 5 here", "#### 5"]}
TALE = "A shop sells pens and pencils and paper to all of the children in the old school. How many?"


def checked(
    tmp_path: Path, *rows: Any, name: str = "data", form: str | None = None, **options: Any
) -> LintReport:
    path = tmp_path / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return lint(read_problems([path], ReadOptions(form)), LintOptions(**options))


def with_steps(*steps: Any, **more: Any) -> dict[str, Any]:
    return {**GOOD, "steps": list(steps), **more}


def test_good_data_pass_and_say_what_they_were_taken_for(tmp_path: Path) -> None:
    report = checked(tmp_path, GOOD)
    assert (report.counts, report.passed, report.rows, report.problems) == ({}, True, 1, 1)
    assert (report.verifier, report.format) == ("stated", "think")


@pytest.mark.parametrize("name", ["gsm8k", "numbered_solutions"])
def test_the_samples_that_ship_are_clean(name: str) -> None:
    report = lint(read_problems([SAMPLES / f"{name}.jsonl"]))
    assert report.counts == {}


LONG = "x" * 9
SENTENCE = "she has just enough pens for all"
VERIFIERS = {"bad-answer": "numeric"}  # where it is not the one that fits
CASES: dict[str, tuple[list[Any], str]] = {
    "bad-row: no JSON object": ([GOOD, 3], "data.jsonl:2  no JSON object"),
    "expert-wrong": (
        [with_steps("2 + 3 = 6 here", "#### 6")],
        "data.jsonl:1  ends with '#### 6'; the answer is '5'",
    ),
    "bad-answer": (
        [{**GOOD, "answer": "five"}],
        "data.jsonl:1  NumericVerifier needs an answer that is a number; got 'five'",
    ),
    "text-answer": (
        [with_steps("we add them up", f"#### {SENTENCE}", answer=SENTENCE)],
        f"data.jsonl:1  a text of more than 5 words: '{SENTENCE}'",
    ),
    "format-lost": (
        [with_steps("as </think> says", "#### 5")],
        "data.jsonl:1  step 1: <think> and </think> must occur once each; found 1 and 2",
    ),
    "same-id": (
        [{**GOOD, "id": "a"}, {**GOOD, "id": "a", "prompt": "?"}],
        "data.jsonl:2  as DIR/data.jsonl:1",
    ),
    "same-within": (
        [{**GOOD, "id": "a"}, {**GOOD, "id": "c"}],
        "data.jsonl:2  as DIR/data.jsonl:1",
    ),
    "near-within": (
        [{**GOOD, "id": "a", "prompt": TALE}, {**GOOD, "id": "c", "prompt": TALE + " Say."}],
        "data.jsonl:2  90% as DIR/data.jsonl:1",
    ),
    "no-answer": ([GOOD, {**GOOD, "prompt": "b", "answer": None}], "data.jsonl:2  prompt 'b'"),
    "no-steps": ([GOOD, {"prompt": "b", "answer": "1"}], "data.jsonl:2  prompt 'b'"),
    "one-step": ([GOOD, with_steps("#### 5", prompt="b")], "data.jsonl:2  the step is '#### 5'"),
    "short-step": (
        [with_steps("2+3=5", "#### 5")],
        "data.jsonl:1  step 1 of 2 is '2+3=5', below 8 characters",
    ),
    "long-step": (
        [with_steps("x" * 2001, "#### 5")],
        "data.jsonl:1  step 1 of 2 has 2,001 characters, above 2,000",
    ),
    "uncompared": (
        [with_steps("x" * 10_001, "#### 5")],
        "data.jsonl:1  step 1 of 2 has 10,001 characters",
    ),
    "same-step": (
        [with_steps(LONG, "y" * 9, LONG + " ", "#### 5")],
        "data.jsonl:1  step 3 of 4 is step 1 again: 'xxxxxxxxx'",
    ),
    "answer-early": (
        [with_steps("so #### 5 it is", "#### 5")],
        "data.jsonl:1  step 1 of 2 is 'so #### 5 it is'",
    ),
    "step-in-prompt": (
        [
            with_steps(
                "She sells two and three pens", "#### 5", prompt="She sells two and three pens."
            )
        ],
        "data.jsonl:1  step 1 of 2 is 'She sells two and three pens'",
    ),
    "title-gap": (
        [with_steps({"action": LONG, "title": "Sum"}, "#### 5")],
        "data.jsonl:1  1 of 2 steps have titles",
    ),
    "title-in-step": (
        [
            with_steps(
                {"action": "**sum** of two", "title": "Sum"}, {"action": "#### 5", "title": "A"}
            )
        ],
        "data.jsonl:1  step 1: it begins with 'Sum'",
    ),
    "title-answer": (
        [
            with_steps(
                {"action": LONG, "title": "It is 1250, then"},
                {"action": "#### 1250", "title": "End"},
                answer="1250",
            )
        ],
        "data.jsonl:1  step 1: 'It is 1250, then' has the answer '1250'",
    ),
    "title-long": (
        [with_steps({"action": LONG, "title": "a\nb"}, {"action": "#### 5", "title": "End"})],
        "data.jsonl:1  step 1: 3 characters: 'a b'",
    ),
    "odd-characters": (
        [with_steps("2 + 3 =\x00 5 here", "#### 5")],
        "data.jsonl:1  step 1: U+0000 in",
    ),
}


@pytest.mark.parametrize("rule", CASES)
def test_a_mistake_is_found_once_with_its_place(tmp_path: Path, rule: str) -> None:
    rows, told = CASES[rule]
    report = checked(tmp_path, *rows, verifier=VERIFIERS.get(rule))
    assert report.counts == {rule: 1}
    ((place, message),) = report.examples[rule]
    expected = told.replace("DIR", str(tmp_path))
    assert f"{Path(place).name}  {message}".startswith(expected)
    assert report.passed is (RULES[rule.partition(":")[0]].severity != "error")


def test_every_rule_is_tested() -> None:
    tested = {rule.partition(":")[0] for rule in CASES}
    assert tested | {"same-across", "near-across", "verifier-failed"} == set(RULES)


def test_what_is_in_two_splits_is_found_across_files(tmp_path: Path) -> None:
    for name, prompt in (("train", TALE), ("test", TALE.upper()), ("dev", f"{TALE} Say.")):
        row = {**GOOD, "id": name, "prompt": prompt}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
    paths = [tmp_path / f"{name}.jsonl" for name in ("train", "test", "dev")]
    assert lint(read_problems(paths)).counts == {"same-across": 1, "near-across": 1}
    whole = lint(read_problems(paths, ReadOptions(splits={"all": 1.0})))
    assert whole.counts == {"same-within": 1, "near-within": 1}
    assert lint(read_problems(paths), LintOptions(near=False)).counts == {"same-across": 1}


def test_numbers_that_are_alike_do_not_make_a_title_say_the_answer(tmp_path: Path) -> None:
    steps = ({"action": LONG, "title": "The 12500 of it"}, {"action": "#### 1250", "title": "End"})
    assert checked(tmp_path, with_steps(*steps, answer="1250")).counts == {}


@pytest.mark.parametrize(
    ("action", "found"),
    [
        ("ab;", None),
        ("a;b;", "sampling stops at ';' in 'a;b;'"),
        ("ab", "the action must end with ';': 'ab'"),
        ("(a)b;", "'(a)b;' is read as 'b;'"),
    ],
)
def test_steps_that_brackets_would_lose_are_found(
    tmp_path: Path, action: str, found: str | None
) -> None:
    report = checked(
        tmp_path, with_steps(action, "c;"), format="brackets", verifier="none", shortest=0
    )
    told = [message for _, message in report.examples.get("format-lost", [])]
    assert told == ([f"step 1: {found}"] if found else [])


def test_steps_repeated_in_a_world_are_no_fault(tmp_path: Path) -> None:
    steps = [{"action": "run the tests", "observation": out} for out in ("bad", "good")]
    assert checked(tmp_path, with_steps(*steps, "#### 5"), verifier="none").counts == {}


def test_a_verifier_is_chosen_by_what_the_last_steps_look_like(tmp_path: Path) -> None:
    boxed = with_steps("we add them up", r"it is \boxed{\frac{10}{2}}")
    report = checked(tmp_path, boxed)
    assert (report.verifier, report.counts) == ("boxed", {})
    unstated = checked(tmp_path, with_steps("we add them up", "five"))  # gets "#### 5" behind it
    assert (unstated.verifier, unstated.counts) == ("stated", {})
    assert checked(tmp_path, boxed, verifier="exact").counts == {"expert-wrong": 1}


def test_a_verifier_that_fails_is_not_the_datas_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(NumericVerifier):
        def verify(self, problem: Problem, actions: Any) -> Verdict:
            raise VerifierTimeout("no verdict within 5 s")

    monkeypatch.setitem(linting.VERIFIERS, "slow", Slow)
    report = checked(tmp_path, GOOD, verifier="slow")
    assert report.counts == {"verifier-failed": 1}
    assert report.passed


def test_progress_is_reported_and_examples_are_few(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    rows = [{**GOOD, "prompt": f"{i}", "answer": "7"} for i in range(600)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seen = list[int]()
    report = lint(read_problems([path]), LintOptions(examples=2), seen.append)
    assert seen == [256, 512, 600]
    assert (report.counts, len(report.examples["expert-wrong"])) == ({"expert-wrong": 600}, 2)


def test_reasons_of_bad_rows_that_never_end_are_counted_together(tmp_path: Path) -> None:
    rows = [{**GOOD, f"x{i}": 1} for i in range(100)]
    report = checked(tmp_path, *rows, form="srl-env")
    assert len(report.counts) == 31
    assert sum(report.counts.values()) == 100


def test_options_that_cannot_work_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no verifier 'numerc'. Did you mean 'numeric'"):
        checked(tmp_path, GOOD, verifier="numerc")
    with pytest.raises(UnknownName, match="no format 'tags'"):
        checked(tmp_path, GOOD, format="tags")
    with pytest.raises(BadOption, match="shortest must be between 0 and longest"):
        LintOptions(shortest=9, longest=3)

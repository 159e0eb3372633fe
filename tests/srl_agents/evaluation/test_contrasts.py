"""Comparisons of made-up runs, worked by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any

import pytest

from srl_agents.evaluation.contrasts import (
    BASE,
    Comparison,
    CurvePoint,
    RunOutcome,
    TrainingPoint,
    coverage,
    markdown_table,
)
from srl_agents.evaluation.scoring import EvalResult
from srl_env.errors import BadData, BadOption

PROBLEMS = ("p0", "p1", "p2", "p3")


def run(method: str, seed: int, scores: Sequence[float], **fields: Any) -> RunOutcome:
    result = EvalResult(
        policy=method,
        env="e",
        source="s/test",
        problem_ids=PROBLEMS,
        scores={"pass@1": tuple(scores), "pass@8": tuple(2 * s for s in scores)},
        episodes=36,
        failures={"VerifierTimeout": 2} if seed else {},
        settings={},
        seconds=1.0,
    )
    return RunOutcome(method, seed, f"runs/{method}-{seed}", result=result, **fields)


def comparison() -> Comparison:
    return Comparison(
        {"out": "runs/x"},
        (
            run(BASE, 0, [0.0, 0.0, 0.0, 0.0]),
            run("good", 0, [0.5, 0.5, 0.25, 0.25], seconds=10.0, updates=4),
            run("good", 1, [0.5, 0.25, 0.25, 0.5], seconds=20.0, updates=6),
            run("bad", 0, [0.0, 0.25, 0.0, 0.25]),
            RunOutcome("bad", 1, "runs/bad-1", error="TrainingDiverged: update 3"),
        ),
    )


def test_a_row_averages_over_seeds_and_problems() -> None:
    rows = {row.method: row for row in comparison().rows}
    assert list(rows) == [BASE, "good", "bad"]
    good = rows["good"]
    assert good.scores["pass@1"].value == 0.375
    assert (good.seeds, good.seconds, good.updates, good.failures) == ((0, 1), 15.0, 5.0, 2)


def test_a_failed_run_enters_no_score() -> None:
    bad = comparison().rows[2]
    assert bad.seeds == (0,)
    assert bad.scores["pass@1"].value == 0.125


def test_trained_methods_are_set_against_each_other_the_better_one_first() -> None:
    (contrast,) = comparison().contrasts()
    assert (contrast.first, contrast.second) == ("good", "bad")
    assert contrast.difference.value == 0.25
    # Of 2 runs × 4 problems: p0 2 wins, p1 1 win 1 tie, p2 2 wins, p3 1 tie 1 win → 7 of 8.
    assert contrast.improvement == 7 / 8


def test_every_pair_of_methods_is_a_contrast() -> None:
    levels = {"a": 0.25, "b": 0.75, "c": 0.5}
    whole = Comparison(
        {}, tuple(run(m, seed, [level] * 4) for m, level in levels.items() for seed in (0, 1))
    )
    pairs = [(c.first, c.second, c.difference.value) for c in whole.contrasts()]
    assert pairs == [("b", "c", 0.25), ("b", "a", 0.5), ("c", "a", 0.25)]


def on_two_bases() -> Comparison:
    """Method m gains 0.5 on base x and nothing on y; n fails on y with one of its seeds."""
    return Comparison(
        {"bases": ["x", "y"]},
        (
            run(BASE, 0, [0.0] * 4, base="x"),
            run(BASE, 0, [0.25] * 4, base="y"),
            run("m", 0, [0.5] * 4, base="x"),
            run("m", 1, [0.5] * 4, base="x"),
            run("m", 0, [0.25] * 4, base="y"),
            run("m", 1, [0.25] * 4, base="y"),
            run("n", 0, [0.25] * 4, base="x"),
            run("n", 1, [0.25] * 4, base="x"),
            run("n", 0, [0.0] * 4, base="y"),
            RunOutcome("n", 1, "runs/n-y-1", error="TrainingDiverged: update 3", base="y"),
        ),
    )


def test_base_models_are_resampled_too() -> None:
    rows = {row.method: row for row in on_two_bases().rows}
    found = rows["m"].scores["pass@1"]
    # Nothing differs between seeds and problems; both bases are x or y in a quarter of resamples.
    assert (found.low, found.value, found.high) == (0.25, 0.375, 0.5)
    one = Comparison({}, on_two_bases().runs[2:4]).rows[0].scores["pass@1"]
    assert (one.low, one.high) == (0.5, 0.5)
    (contrast,) = on_two_bases().contrasts()
    # 0.375 − (0.25 + 0.25 + 0) / 3; on each base, every run of m is better.
    assert contrast.difference.value == pytest.approx(0.375 - 0.5 / 3)
    assert contrast.improvement == 1.0


def test_every_table_says_what_its_intervals_cover() -> None:
    covers = {row.method: row.covers for row in on_two_bases().rows}
    assert covers == {
        BASE: "95 % over 2 base models and 4 problems",
        "m": "95 % over 2 base models, 2 training seeds each and 4 problems",
        "n": "95 % over 2 base models, 1 to 2 training seeds each and 4 problems",
    }
    text = coverage(comparison().rows)
    assert text == (
        "Intervals: base: 95 % over 4 problems, one base model; good: 95 % over 2 training seeds"
        " and 4 problems, one base model; bad: 95 % over 4 problems, one training seed, one base"
        " model."
    )
    assert markdown_table(comparison().rows).endswith(f"\n\n{text}\n")
    assert coverage(comparison().rows[1:2]).startswith("Intervals: 95 % over 2 training seeds")


def test_intervals_do_not_change_from_one_call_to_the_next() -> None:
    assert comparison().rows == comparison().rows
    assert comparison().contrasts() == comparison().contrasts()


def test_the_markdown_table_reads_as_expected() -> None:
    lines = markdown_table(comparison().rows).splitlines()
    assert lines[0] == "| method | seeds | pass@1 % | pass@8 % | seconds |"
    assert lines[2] == "| base | 1 | 0.0 [0.0, 0.0] | 0.0 | 0 |"
    assert lines[3].startswith("| good | 2 | 37.5 [")
    assert lines[3].endswith(" | 75.0 | 15 |")


def test_results_survive_the_disk(tmp_path: Path) -> None:
    point = TrainingPoint(1.0, 2, "srl", None, 0.5)
    curve = (CurvePoint(0.0, 0, 0.0), CurvePoint(5.0, 9, 0.25))
    whole = Comparison(
        {"out": "x"}, (run("m", 0, [0.5, nan, 0.0, 1.0], curve=curve, training=(point,)),)
    )
    path = whole.save(tmp_path)
    back = Comparison.load(path)
    assert back.runs[0].curve == curve
    assert back.runs[0].training == (point,)
    assert back.rows == whole.rows
    assert back.rows[0].scores["pass@1"].value == 0.5
    text = json.loads(path.read_text())
    assert text["methods"][0]["scores"]["pass@1"]["value"] == 0.5
    assert "NaN" not in path.read_text()


def test_what_is_no_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="cannot be read"):
        Comparison.load(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('{"runs": 3}')
    with pytest.raises(BadData, match=r"other\.json:1: must be the results of a comparison"):
        Comparison.load(tmp_path / "other.json")


def test_methods_without_scores_make_no_contrast_and_no_noise() -> None:
    lost = Comparison({}, (run("a", 0, [nan] * 4), run("b", 0, [nan] * 4)))
    lost.runs[0].result.scores.clear()  # type: ignore[union-attr]
    lost.runs[1].result.scores.clear()  # type: ignore[union-attr]
    assert lost.contrasts() == []
    assert [row.scores for row in lost.rows] == [{}, {}]

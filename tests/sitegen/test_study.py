"""The study's page, from rows made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sitegen.study import family_table, passes, study
from srl_agents.evaluation.contrasts import Comparison, RunOutcome
from srl_agents.evaluation.rows import write_row
from srl_agents.evaluation.scoring import EvalResult


def result(*correct: float, k: tuple[float, ...] = (1.0, 1.0)) -> EvalResult:
    scores = {"pass@1": correct, "pass@4": k, "legal": (0.5, 0.5), "entropy": (0.2, 0.4)}
    return EvalResult("p", "e", "s/test", ("a", "b"), scores, 8, {}, {}, 1.0)


def outcome(method: str, base: str, seed: int, *correct: float) -> RunOutcome:
    return RunOutcome(
        method,
        seed,
        f"{method}-{base}-{seed}",
        seconds=60.0,
        updates=3,
        tokens=1000 * seed,
        result=result(*correct),
        base=base,
        model=base,
        weights=base,
        transfer={"other": result(0.0, 0.5)},
    )


RUNS = (
    outcome("base", "x", 0, 0.0, 0.0),
    outcome("base", "y", 0, 0.0, 0.0),
    outcome("srl", "x", 1, 0.5, 1.0),
    outcome("srl", "x", 3, 0.0, 0.0),
    outcome("srl", "y", 1, 1.0, 1.0),
    outcome("srl", "y", 3, 0.0, 0.5),
    outcome("sft-rlvr", "x", 1, 0.5, 0.5),
    outcome("sft-rlvr", "y", 1, 0.0, 1.0),
)


def cells(table: str, method: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {method} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_has_the_scores_of_all_bases_and_seeds() -> None:
    found = cells(family_table(Comparison({}, RUNS)), "srl")
    assert found[1] == "4"
    assert found[2].startswith("50.0 [")  # 0.75, 0, 1 and 0.25
    assert found[3].startswith("50.0 [")  # the middle two
    assert found[4] == "100.0 (k = 4)"
    # x: (1/2 + 0) / 2 on a and (1 + 0) / 2 on b; y: (1 + 1/2) / 2 on a and (1/2 + 0) / 2 on b
    assert found[5] == f"{(0.25 + 0.5 + 0.75 + 0.25) / 4:.2f}"
    assert found[6:10] == ["50.0", "–", "0.30", "25.0"]
    assert found[10:] == ["2,000", "60"]


def test_the_base_and_the_rival_are_not_compared_with_the_rival() -> None:
    table = family_table(Comparison({}, RUNS))
    assert cells(table, "base")[5] == cells(table, "sft-rlvr")[5] == "–"


def test_the_page_has_a_part_for_each_family_with_rows_and_one_over_all(tmp_path: Path) -> None:
    assert study(tmp_path) == "No run of the study has finished yet."
    for family in ("chains", "graphs"):
        for run in RUNS:
            write_row(run, tmp_path / family)
    page = study(tmp_path)
    assert page.count("<svg") == 3
    assert "### Chains of ten definitions" in page
    assert "### Over 2 families" in page
    over = cells(page[page.index("### Over") :], "srl")
    assert over[1].startswith("50.0 [")  # 0.75, 0, 1 and 0.25, twice: the middle four
    assert "### Stories" not in page


def test_the_figure_draws_the_base_and_the_best_methods() -> None:
    pytest.importorskip("matplotlib")
    figure = passes("chains", Comparison({}, RUNS))
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    figure.draw(axes)
    assert [line.get_label() for line in axes.get_lines()] == ["base", "srl", "sft-rlvr"]


def test_the_rates_of_a_family_stand_beside_each_other(tmp_path: Path) -> None:
    tried = (("srl", 1e-4, 0.25), ("srl", 1e-3, 1.0), ("rlvr", 1e-3, 0.0))
    for method, rate, score in tried:
        run = outcome(f"{method}-{rate:g}", "x", 0, score, score)
        settings = {"run": {"method": method, "train": {"lr": rate}}}
        write_row(replace(run, settings=settings), tmp_path / "chains-rates")
    page = study(tmp_path)
    assert "### Rates: chains of ten definitions" in page
    assert cells(page, "srl") == ["srl", "25.0", "100.0"]
    assert cells(page, "rlvr") == ["rlvr", "–", "0.0"]

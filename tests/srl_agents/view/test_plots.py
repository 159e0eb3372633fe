"""Figures and tables from runs: which files there are, and what the numbers in them say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from srl_agents.view.plots import Plotted, as_latex, plot
from srl_env.errors import BadOption
from tests.srl_agents.view.rows import Row, episode, step, training_run, updates, write_lines


def chain_row(number: int, *, right: bool, steps: int = 2, difficulty: int = 2) -> Row:
    """An evaluated rollout on a problem that the environment knows."""
    made = [step("x", i, legal=i == 0, reward=float(right)) for i in range(steps)]
    return episode(
        *made,
        update=None,
        group=number,
        problem_id=f"modular_chain/train/{difficulty}/{number}",
        verdict={"correct": right, "answer": None},
    )


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    folder = tmp_path / "eval"
    write_lines(
        folder / "episodes/000000.jsonl", [chain_row(n, right=n % 2 == 0) for n in range(4)]
    )
    settings = {"policy": "x", "env": "srl/ModularChain-v0", "arguments": {"difficulty": 2}}
    (folder / "settings.json").write_text(json.dumps(settings | {"split": "train"}))
    return folder


@pytest.fixture(scope="module")
def plotted(tmp_path_factory: pytest.TempPathFactory) -> Plotted:
    """The figures of a run whose rewards are all 0.25, and which says nothing else."""
    folder = training_run(tmp_path_factory.mktemp("plots") / "run")
    rows = updates((0.25, 0.25, 0.25))
    for row in rows:
        del row["success"], row["groups/informative_fraction"]
    write_lines(folder / "metrics.jsonl", rows)
    return plot([folder], folder / "figures")


def test_a_run_gives_its_curves_along_three_axes_in_three_formats(plotted: Plotted) -> None:
    files = {file.name: file for file in plotted.files}
    for axis in ("update", "tokens", "seconds"):
        assert {f"reward-{axis}.{kind}" for kind in ("png", "svg", "pdf")} <= files.keys()
    assert not [name for name in files if name.startswith(("success", "informative"))]
    assert {"overview.png", "results.md", "results.tex"} <= files.keys()
    assert files["reward-update.png"].read_bytes().startswith(b"\x89PNG")
    assert files["reward-update.pdf"].read_bytes().startswith(b"%PDF")
    assert "updates" in files["reward-update.svg"].read_text()


def test_the_table_of_a_run_says_where_training_ended(plotted: Plotted) -> None:
    files = {file.name: file.read_text() for file in plotted.files if file.stem == "results"}
    head, _, line = files["results.md"].splitlines()
    assert head.startswith("| method | runs | mean reward in training |")
    assert line == "| srl | 1 | 0.250 [0.250, 0.250] | 3 | 300 | 6 |"
    assert "srl & 1 & 0.250 [0.250, 0.250] & 3 & " in files["results.tex"]


def test_an_evaluation_gives_legal_steps_by_their_number(tmp_path: Path, evaluation: Path) -> None:
    made = plot([evaluation], tmp_path / "out", formats=("svg",))
    assert {file.name for file in made.files} == {"legal-step.svg", "overview.png"}
    assert "no figure success-difficulty" in made.notes[0]  # all chains are equally long


def test_an_unknown_format_is_refused(tmp_path: Path, evaluation: Path) -> None:
    with pytest.raises(BadOption, match="format must be one of png, svg, pdf; got 'gif'"):
        plot([evaluation], tmp_path / "out", formats=("gif",))


def test_figures_that_cannot_be_written_say_where(tmp_path: Path, evaluation: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadOption, match="file/out cannot be written: Not a directory"):
        plot([evaluation], tmp_path / "file" / "out")


def test_latex_writes_its_own_characters_out() -> None:
    text = as_latex(["a_b", "50 %"], [["x & y", "–"]])
    assert text == (
        "\\begin{tabular}{lr}\n\\toprule\na\\_b & 50 \\% \\\\\n\\midrule\nx \\& y & -- \\\\\n"
        "\\bottomrule\n\\end{tabular}\n"
    )


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The SVGs of a run of two stages that solves nothing, by name."""
    folder = training_run(tmp_path_factory.mktemp("staged") / "run")
    rows = updates((0.2, 0.4, 0, 0), stage="srl")
    for row in rows:
        row["stage"] = "srl" if row["update"] < 3 else "rlvr"
        row["success"] = 0.0
    write_lines(folder / "metrics.jsonl", rows)
    made = plot([folder], folder / "figures", formats=("svg",))
    return {file.stem: file.read_text() for file in made.files if file.suffix == ".svg"}


@pytest.mark.parametrize("axis", ["update", "tokens", "seconds"])
@pytest.mark.parametrize("name", ["reward", "success", "informative"])
def test_every_curve_marks_the_change_of_stage(
    staged: dict[str, str], name: str, axis: str
) -> None:
    assert ">srl → rlvr</text>" in staged[f"{name}-{axis}"]


def test_a_run_of_one_stage_has_no_mark(plotted: Plotted) -> None:
    assert not [f for f in plotted.files if f.suffix == ".svg" and "→" in f.read_text()]


def test_fractions_have_axes_from_0_to_1_and_say_that_nothing_was_solved(
    staged: dict[str, str],
) -> None:
    for name in ("success-update", "informative-update"):
        assert {"0.0", "1.0"} <= set(re.findall(r">([\d.]+)</text>", staged[name]))
    assert "0 throughout: nothing was solved" in staged["success-update"]
    assert "0 throughout" not in staged["informative-update"]
    assert "0 throughout" not in staged["reward-update"]

"""The page and the figures: self-contained, well-formed, and saying what the data says."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from srl_agents.evaluation.contrasts import BASE, Comparison, CurvePoint, RunOutcome, TrainingPoint
from srl_agents.evaluation.scoring import EvalResult
from srl_agents.view.figures import comparison_figures, png, svg
from srl_agents.view.report import comparison_table, headline, learned, page, write_report

VOID = {"meta", "path", "use", "rect", "br"}


class Reader(HTMLParser):
    """Tags must close in order; attributes and text are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


def read(text: str) -> Reader:
    """The page, whose tags all close."""
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def outcome(method: str, seed: int, level: float) -> RunOutcome:
    scores = {
        "pass@1": (level, level / 2, level, 0.0),
        "pass@8": (min(1.0, 2 * level),) * 4,
        "legal": (0.5,) * 4,
    }
    result = EvalResult(
        method, "srl/X-v0", "x/test", ("a", "b", "c", "d"), scores, 36, {"WorldFailure": 1}, {}, 1.0
    )
    curve = tuple(CurvePoint(5.0 * i, 3 * i, level * i / 4) for i in range(5))
    training = tuple(TrainingPoint(2.0 * i, i, "s", 0.1 * i, 0.5) for i in range(1, 9))
    return RunOutcome(method, seed, "f", 20.0, 8, 999, result, curve, training)


@pytest.fixture
def comparison() -> Comparison:
    return Comparison(
        {"run": {"env": {"id": "srl/X-v0"}}, "curve": {"split": "dev"}},
        (
            outcome(BASE, 0, 0.0),
            outcome("srl <b>", 0, 0.4),
            outcome("srl <b>", 1, 0.5),
            outcome("rlvr", 0, 0.1),
            RunOutcome("rlvr", 1, "f", error="TrainingDiverged: the loss & its gradient"),
        ),
    )


def test_the_page_is_one_file_without_network(comparison: Comparison) -> None:
    text = page(comparison)
    reader = read(text)
    assert all(link.startswith("#") for link in reader.links)
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(reader.ids) == len(set(reader.ids))


def test_the_page_says_what_was_found(comparison: Comparison) -> None:
    found = read(page(comparison)).said
    for said in (
        "srl <b>, rlvr on srl/X-v0",
        "TrainingDiverged: the loss & its gradient",
        "1 WorldFailure",
        "28.1 [",  # srl: (0.4 + 0.5) / 2 · 2.5 / 4
        "srl <b> − rlvr",
        "Intervals: ",
        "Correct on held-out problems (shaded: 95 %",
    ):
        assert said in found


def test_figures_take_the_colours_of_the_page(comparison: Comparison) -> None:
    for figure in comparison_figures(comparison):
        text = svg(figure)
        assert "currentColor" in text
        assert "#010203" not in text
        assert "#000000" not in text
        assert re.match(r'<svg [^>]*viewBox="[^"]*"', text)
        assert not re.match(r'<svg [^>]* width="', text)


def test_everything_is_written_beside_the_page(comparison: Comparison, tmp_path: Path) -> None:
    path = write_report(comparison, tmp_path / "out")
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "report.html",
        "report.md",
        "report.png",
        "results.json",
    ]
    assert (path.parent / "report.png").read_bytes().startswith(b"\x89PNG")
    assert Comparison.load(path.parent / "results.json").rows == comparison.rows


def test_a_comparison_in_which_nothing_finished_has_a_page(tmp_path: Path) -> None:
    lost = Comparison({}, (RunOutcome("srl", 0, "f", error="it died"),))
    path = write_report(lost, tmp_path)
    assert "No run has finished." in path.read_text()
    assert not (tmp_path / "report.png").exists()


def test_the_tables_say_what_a_method_costs_elsewhere_and_what_is_missing(
    comparison: Comparison, tmp_path: Path
) -> None:
    elsewhere = [outcome(BASE, 0, 0.4).result, outcome("srl <b>", 0, 0.1).result]
    made = [
        replace(run, transfer={"gsm8k": other}, commit="c0ffee", weights="0123456789", jobs=3)
        for run, other in zip(comparison.runs, filter(None, elsewhere), strict=False)
    ]
    text = (
        write_report(replace(comparison, runs=(*made, *comparison.runs[-1:])), tmp_path)
        .with_suffix(".md")
        .read_text()
    )
    # base: 0.4 · 2.5 / 4 = 25 %; srl: 6.25 %
    assert "**gsm8k**, where no method was trained. Gain in percentage points" in text
    assert re.search(r"over the base model: srl <b> -18\.8 \[", text)
    assert "**Missing:** 1 of 3 runs.\n\n- rlvr seed 1: TrainingDiverged: the loss" in text
    assert "| srl <b> seed 0 | 3 | 999 | 20 | 01234567 | c0ffee |  |" in text


def test_one_figure_fits_a_picture_too(comparison: Comparison, tmp_path: Path) -> None:
    assert png(comparison_figures(comparison)[:1], tmp_path / "one.png").stat().st_size > 1000


def test_the_headline_names_the_best_and_the_next(comparison: Comparison) -> None:
    assert headline(comparison).startswith("srl <b> is correct on 28.1 [")
    assert "; rlvr is next with 6.2 [" in headline(comparison)


def test_equal_methods_are_said_to_be_indistinguishable() -> None:
    equal = Comparison({}, (outcome("a", 0, 0.4), outcome("b", 0, 0.4)))
    assert "they are not distinguishable" in headline(equal)


def test_the_terminal_table_fits_eighty_columns(comparison: Comparison) -> None:
    screen = Console(width=80, file=io.StringIO())
    screen.print(comparison_table(comparison))
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "28.1 [" in text
    assert "…" not in text


def test_the_warnings_of_runs_are_in_the_report_and_go_through_json(comparison: Comparison) -> None:
    assert "Warnings" not in page(comparison)
    first, *others = comparison.runs
    warned = replace(first, method="srl <b>", warnings=("stage 'srl': 1 < 2",))
    assert RunOutcome.from_json(json.loads(json.dumps(warned.to_json()))) == warned
    text = page(replace(comparison, runs=(warned, *others)))
    assert "Warnings:srl <b> seed 0, stage 'srl': 1 < 2" in read(text).said


def test_the_figures_of_training_mark_each_change_of_stage(comparison: Comparison) -> None:
    def staged(run: RunOutcome) -> RunOutcome:
        points = (replace(p, stage="srl" if p.update < 5 else "rlvr") for p in run.training)
        return replace(run, training=tuple(points))

    runs = tuple(staged(run) for run in comparison.runs)
    drawn = {f.name: svg(f) for f in comparison_figures(replace(comparison, runs=runs))}
    assert {name for name, text in drawn.items() if "srl → rlvr" in text} == {
        "dev-success-seconds",
        "reward-seconds",
        "informative-seconds",
    }
    assert not [f for f in comparison_figures(comparison) if "→" in svg(f)]


@pytest.mark.parametrize("name", ["scores", "dev-success-seconds", "informative-seconds"])
def test_fractions_in_the_report_have_axes_from_0_to_1(comparison: Comparison, name: str) -> None:
    (figure,) = (f for f in comparison_figures(comparison) if f.name == name)
    assert {"0.0", "1.0"} <= set(re.findall(r">([\d.]+)</text>", svg(figure)))


def test_a_report_says_that_nothing_was_solved() -> None:
    lost = Comparison({}, (outcome(BASE, 0, 0.0), outcome("srl", 0, 0.0)))
    assert headline(lost) == (
        "Nothing was solved: none of 72 rollouts of 4 unseen problems is correct, with any method."
    )
    assert "0 throughout: nothing was solved" in page(lost)


def scored(method: str, *scores: float, warnings: tuple[str, ...] = ()) -> RunOutcome:
    """A run with one pass@1 for each problem."""
    problems = tuple("abcdefgh")[: len(scores)]
    result = EvalResult(method, "e", "s", problems, {"pass@1": scores}, 8, {}, {}, 1.0)
    return RunOutcome(method, 0, "f", result=result, warnings=warnings)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (
            [scored(BASE, *[0.0] * 8), scored("srl", *[1.0] * 8)],
            "Gain in percentage points of pass@1 over the base model: srl 100.0 [100.0, 100.0].",
        ),
        (
            [scored(BASE, *[1.0] * 8), scored("srl", *[0.0] * 8)],
            "Gain in percentage points of pass@1 over the base model: srl -100.0 [-100.0, -100.0],"
            " so it became worse.",
        ),
        (
            [scored(BASE, 0.0, 0.0), scored("a", 0.0, 0.0), scored("b", 0.0, 0.0, warnings=("w",))],
            "Gain in percentage points of pass@1 over the base model: a 0.0 [0.0, 0.0], so no"
            " measurable change; b 0.0 [0.0, 0.0], so no measurable change (see its warnings).",
        ),
        (
            [scored("srl", 1.0)],
            "The gain is unknown: no method was evaluated together with its base model.",
        ),
    ],
)
def test_a_comparison_closes_with_what_was_learned(runs: list[RunOutcome], said: str) -> None:
    assert learned(Comparison({}, tuple(runs))) == said

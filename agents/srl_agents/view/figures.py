"""The figures of a comparison, by matplotlib: as SVG for a page, as PNG for everywhere else.

Colours are those of Okabe and Ito, which people with any colour vision can tell apart; each
method has its own line style and marker besides. In SVGs, text and axes take the colour of the
page around them (``currentColor``), so that one figure serves light and dark pages.
"""

from __future__ import annotations

import html
import io
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srl_agents.evaluation.contrasts import BASE, Comparison, RunOutcome
from srl_agents.view.curves import FRACTIONS, StageChange, pieces, stage_changes
from srl_env.errors import MissingExtra

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":")
MARKERS = "osD^vP"
BASE_COLOUR = "#808080"

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: draw puts it on matplotlib axes, caption says what it shows."""

    name: str
    caption: str
    draw: Callable[[Any], None]


def figures(comparison: Comparison) -> list[Figure]:
    """The figures that the comparison has data for, the most telling first."""
    return [figure for figure in _candidates(comparison) if figure is not None]


def svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element for a page: as wide as there is room, in its colours."""
    colours = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), _INK)
    ticks = dict.fromkeys(("xtick.color", "ytick.color"), _INK)
    with _style(colours | ticks):
        canvas = _canvas(1, 1)
        figure.draw(canvas.axes[0])
        out = io.StringIO()
        canvas.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(
        r'(\bid="|href="#|url\(#)', rf"\g<1>{figure.name}-", text
    )  # one page, many figures
    head, rest = text[text.index("<svg") :].split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    label = f' role="img" aria-label="{html.escape(figure.caption)}"'
    return head + label + ">" + rest.replace(_INK, "currentColor")


def save(figure: Figure, path: Path) -> Path:
    """The path of the figure alone, black on white, in the format that the suffix names."""
    with _style({}):
        canvas = _canvas(1, 1)
        figure.draw(canvas.axes[0])
        dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # the same every time
        canvas.savefig(path, dpi=200, facecolor="white", metadata=dated.get(path.suffix))
    return path


def png(found: Sequence[Figure], path: Path, columns: int = 2) -> Path:
    """The path of one PNG that holds all figures, black on white, in rows of ``columns``."""
    columns = min(columns, len(found))
    rows = -(-len(found) // columns)
    with _style({}):
        canvas = _canvas(rows, columns)
        for axes, figure in zip(canvas.axes, found, strict=False):
            figure.draw(axes)
            axes.set_title(textwrap.fill(figure.caption, 64), fontsize=9, pad=18)
        for axes in canvas.axes[len(found) :]:
            axes.set_axis_off()
        canvas.savefig(path, dpi=160, facecolor="white")
    return path


def _candidates(comparison: Comparison) -> Iterator[Figure | None]:
    settings = comparison.settings
    split = settings.get("curve", {}).get("split", "dev")
    yield _scores_figure(comparison)
    yield _curve_figure(
        comparison,
        "curves",
        f"Right answers on {split} problems, during training",
        "share right",
        lambda run: [(p.seconds, p.success) for p in run.curve],
        zero=FRACTIONS["dev"],
    )
    yield _curve_figure(
        comparison,
        "reward",
        "Mean reward in training (what it measures differs by method and stage)",
        "reward",
        lambda run: [(p.seconds, p.reward) for p in run.training if p.reward is not None],
    )
    yield _curve_figure(
        comparison,
        "kept",
        "Share of groups that carry a signal",
        "kept groups",
        lambda run: [
            (point.seconds, point.informative_fraction)
            for point in run.training
            if point.informative_fraction is not None
        ],
        zero=FRACTIONS["groups/informative_fraction"],
    )


def _scores_figure(comparison: Comparison) -> Figure | None:
    """pass@1 of each method with its interval, and each seed as a dot."""
    rows = [row for row in comparison.rows if "pass@1" in row.scores]
    if not rows:
        return None

    def draw(axes: Any) -> None:
        for y, row in enumerate(rows):
            found = row.scores["pass@1"]
            colour = look(comparison.methods, row.method)["color"]
            seeds = np.nanmean(comparison.scores(row.method, "pass@1"), axis=1)
            axes.plot([found.low, found.high], [y, y], color=colour, lw=2.5, solid_capstyle="round")
            axes.plot(found.value, y, "o", color=colour, ms=9)
            axes.plot(seeds, [y + 0.25] * len(seeds), "|", color=colour, ms=7)
            axes.annotate(
                f"{100 * found.value:.1f} %",
                (found.value, y),
                (0, 8),
                textcoords="offset points",
                ha="left" if found.value < 0.05 else "right" if found.value > 0.95 else "center",
                fontsize=9,
            )
        axes.set_yticks(range(len(rows)), [row.method for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        _unclip(axes)
        axes.set_xlabel("share right on unseen problems (pass@1)")
        axes.grid(axis="x", alpha=0.25)

    caption = "pass@1 on unseen problems: mean, 95 % interval, and each seed (ticks)"
    return Figure("scores", caption, draw)


def _curve_figure(
    comparison: Comparison,
    name: str,
    caption: str,
    ylabel: str,
    points: Callable[[RunOutcome], Points],
    zero: str = "",
) -> Figure | None:
    """Each method's mean over seeds against seconds of training, the seeds' range shaded.

    zero: what it means that a fraction is 0 throughout; "" for what is no fraction.
    """
    curves = {
        method: [found for run in comparison.of(method) if (found := points(run))]
        for method in comparison.methods
        if method != BASE
    }
    curves = {method: found for method, found in curves.items() if found}
    if not curves:
        return None
    changes = {
        method: stage_changes(
            [[asdict(point) for point in run.training] for run in comparison.of(method)], "seconds"
        )
        for method in curves
    }

    def draw(axes: Any) -> None:
        for method, found in curves.items():
            style = look(comparison.methods, method)
            seconds, low, middle, high = seed_range(found)
            draw_curve(axes, (seconds, low, middle, high), changes[method], method, style)
        axes.set_xlabel("seconds of training")
        axes.set_ylabel(ylabel)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9)
        mark_changes(axes, changes, comparison.methods)
        if zero:
            fraction_axis(axes, [y for of in curves.values() for p in of for _, y in p], zero)

    return Figure(name, caption, draw)


def draw_curve(
    axes: Any,
    curve: Sequence[np.ndarray[Any, Any]],
    changes: Sequence[StageChange],
    label: str,
    style: Mapping[str, Any],
) -> None:
    """Draws (x, low, middle, high), each (T,), with gaps where the stage changes."""
    x, low, middle, high = curve
    for part in pieces(x, changes):
        axes.fill_between(x[part], low[part], high[part], color=style["color"], alpha=0.15, lw=0)
        axes.plot(x[part], middle[part], label=label, markevery=0.2, ms=5, **style)
        label = ""  # one entry in the legend


def mark_changes(
    axes: Any, changes: Mapping[str, Sequence[StageChange]], methods: Sequence[str]
) -> None:
    """Draws a vertical line where a run of a method changes its stage, and one label for all."""
    staged = [(method, of) for method, of in changes.items() if of]
    for row, (method, of) in enumerate(staged):
        for change in of:
            for place in change.places:
                axes.axvline(place, color=look(methods, method)["color"], lw=1.2, ls=":")
            axes.annotate(
                change.label,
                (min(change.places), 1),
                (0, 5 - 11 * row),  # the first above the axes
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )


def fraction_axis(axes: Any, values: Sequence[float], zero: str) -> None:
    """Draws the y axis from 0 to 1; where all values are 0, writes so and what it means."""
    axes.set_ylim(0, 1)
    _unclip(axes)
    if not any(values):
        axes.text(0.5, 0.5, f"0 throughout: {zero}", transform=axes.transAxes, ha="center")


def _unclip(axes: Any) -> None:
    """Lets lines and markers at 0 and 1 be seen whole."""
    for line in axes.get_lines():
        line.set_clip_on(False)


def seed_range(curves: Sequence[Points]) -> tuple[np.ndarray[Any, Any], ...]:
    """(seconds, lowest, mean, highest) of several seeds' curves on common times, each (T,).

    Curves are joined by straight lines, and are compared only where all of them have begun and
    none has ended.
    """
    begin = max(curve[0][0] for curve in curves)
    end = max(begin, min(curve[-1][0] for curve in curves))
    times = np.unique([begin, end, *(t for c in curves for t, _ in c if begin <= t <= end)])
    values = np.array([np.interp(times, *np.array(curve).T) for curve in curves])
    return times, values.min(axis=0), values.mean(axis=0), values.max(axis=0)


def look(methods: Sequence[str], method: str) -> dict[str, Any]:
    """Colour, line and marker of one of the methods, the same in every figure."""
    if method == BASE:
        return {"color": BASE_COLOUR, "ls": "-", "marker": "o"}
    index = [m for m in methods if m != BASE].index(method)
    return {
        "color": COLOURS[index % len(COLOURS)],
        "ls": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


_INK = "#010203"
"""A colour that no figure uses, and that stands for the text colour of the page."""

_STYLE: dict[str, Any] = {
    "axes.spines.top": False,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "axes.spines.right": False,
    "font.size": 10,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "srl-env",  # the same ids every time
    "font.family": "sans-serif",
}


def _style(changes: dict[str, Any]) -> Any:
    """A context in which matplotlib draws in our style."""
    try:
        import matplotlib
    except ImportError:
        raise MissingExtra("matplotlib", "train") from None
    return matplotlib.rc_context(_STYLE | changes)  # type: ignore[arg-type]


def _canvas(rows: int, columns: int) -> Any:
    """A matplotlib figure with its axes made; no window and no global state behind it."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(5.2 * columns, 3.4 * rows), layout="constrained")
    canvas.subplots(rows, columns, squeeze=False)
    return canvas

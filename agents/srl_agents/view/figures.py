"""Figures by matplotlib: as SVG for a page, or as PNG, SVG and PDF files.

The colours are those of Okabe and Ito, which people with any colour vision can tell apart. Each
method also has its own line style and marker. In a page's SVGs, text and axes have the colour of
the page (``currentColor``), so that one figure serves light and dark pages.
"""

from __future__ import annotations

import html
import io
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srl_agents.evaluation.contrasts import BASE, Comparison
from srl_agents.view.curves import AXES, CURVES, Axis, Band
from srl_agents.view.sources import ViewedRun, method_curves, methods_of, outcome_run
from srl_env.lazy import optional_import

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":")
MARKERS = "osD^vP"
BASE_COLOUR = "#808080"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. draw puts it on matplotlib axes; caption says what it shows."""

    name: str
    caption: str
    draw: Callable[[Any], None]


def comparison_figures(comparison: Comparison) -> list[Figure]:
    """The figures that the comparison has data for, the most important first."""
    runs = [outcome_run(outcome) for outcome in comparison.runs]
    drawn = ("dev", "reward", "groups/informative_fraction")
    return [*_scores_figure(comparison), *curve_figures(runs, drawn, ("seconds",))]


def curve_figures(
    runs: Sequence[ViewedRun], names: Iterable[str], axes: Iterable[Axis]
) -> Iterator[Figure]:
    """Each number along each axis, one curve per method."""
    methods = methods_of(runs)
    axes = tuple(axes)
    for name in names:
        for axis in axes:
            bands = method_curves(runs, name, axis)
            if bands:
                over = ", ".join(dict.fromkeys(b.over for b in bands.values() if b.over))
                caption = CURVES[name].title.capitalize()
                caption += f" (shaded: 95 % over {over})" if over else ""
                if name == "reward" and any(band.changes for band in bands.values()):
                    caption += ". A new stage has another reward"
                draw = _curve_drawing(bands, methods, AXES[axis], name)
                yield Figure(f"{CURVES[name].file}-{axis}", caption, draw)


def _curve_drawing(
    bands: Mapping[str, Band], methods: Sequence[str], xlabel: str, name: str
) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        for method, band in bands.items():
            _draw_band(axes, band, method, look(methods, method))
        finish(axes, xlabel, CURVES[name].title)
        _mark_changes(axes, bands, methods)
        if zero := CURVES[name].zero:
            fraction_axis(axes, [y for band in bands.values() for y in band.middle], zero)

    return draw


def _scores_figure(comparison: Comparison) -> Iterator[Figure]:
    """pass@1 of each method with its interval, and each seed as a tick."""
    rows = [row for row in comparison.rows if "pass@1" in row.scores]

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
        axes.set_xlabel("fraction correct on unseen problems (pass@1)")
        axes.grid(axis="x", alpha=0.25)

    if rows:
        caption = "pass@1 on unseen problems: mean, 95 % interval, and each seed (ticks)"
        yield Figure("scores", caption, draw)


# Drawing


def _draw_band(axes: Any, band: Band, label: str, style: Mapping[str, Any]) -> None:
    for part in band.pieces:
        x = band.x[part]
        axes.fill_between(
            x, band.low[part], band.high[part], color=style["color"], alpha=0.15, lw=0
        )
        axes.plot(x, band.middle[part], label=label, markevery=0.2, ms=5, **style)
        label = ""  # one entry in the legend


def _mark_changes(axes: Any, bands: Mapping[str, Band], methods: Sequence[str]) -> None:
    """Draws a vertical line at each change of stage, with one label per change and method."""
    staged = [(method, band.changes) for method, band in bands.items() if band.changes]
    for row, (method, changes) in enumerate(staged):
        for change in changes:
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


def finish(axes: Any, xlabel: str, ylabel: str) -> None:
    """Adds labels, grid and legend."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)


def fraction_axis(axes: Any, values: Sequence[float], zero: str) -> None:
    """Draws the y axis from 0 to 1. If all values are 0, writes what this means."""
    axes.set_ylim(0, 1)
    _unclip(axes)
    if not any(values):
        axes.text(0.5, 0.5, f"0 throughout: {zero}", transform=axes.transAxes, ha="center")


def _unclip(axes: Any) -> None:
    """Shows lines and markers at 0 and 1 completely."""
    for line in axes.get_lines():
        line.set_clip_on(False)


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


# Files


def svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element, as wide as its place, in the colours of the page."""
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    out = io.StringIO()
    with _style(dict.fromkeys(inked, _INK)):
        canvas = _canvas(1, 1)
        figure.draw(canvas.axes[0])
        canvas.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    one_page = r'(\bid="|href="#|url\(#)'  # ids must differ between the figures of a page
    text = re.sub(one_page, rf"\g<1>{figure.name}-", text)
    head, rest = text[text.index("<svg") :].split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    label = f' role="img" aria-label="{html.escape(figure.caption)}"'
    return head + label + ">" + rest.replace(_INK, "currentColor")


def save(figure: Figure, path: Path) -> Path:
    """The path of the figure, black on white, in the format of the suffix."""
    with _style({}):
        canvas = _canvas(1, 1)
        figure.draw(canvas.axes[0])
        dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # the same every time
        canvas.savefig(path, dpi=200, facecolor="white", metadata=dated.get(path.suffix))
    return path


def png(found: Sequence[Figure], path: Path, columns: int = 2) -> Path:
    """The path of one PNG of all figures, black on white, in rows of ``columns``."""
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


_INK = "#010203"
"""A colour that no figure uses. It stands for the text colour of the page."""

_STYLE: dict[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "font.family": "sans-serif",
    "font.size": 10,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "srl-env",  # the same ids every time
}


def _style(changes: dict[str, Any]) -> Any:
    """A context in which matplotlib draws in our style."""
    with optional_import("train", "matplotlib"):
        import matplotlib
    return matplotlib.rc_context(_STYLE | changes)  # type: ignore[arg-type]


def _canvas(rows: int, columns: int) -> Any:
    """A matplotlib figure with its axes, without a window or global state."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(5.2 * columns, 3.4 * rows), layout="constrained")
    canvas.subplots(rows, columns, squeeze=False)
    return canvas

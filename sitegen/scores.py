"""Draws docs/figures/demo.png: what each method of `make demo` reaches, from the results file.

    python -m sitegen.scores

Points are means over seeds, lines 95 % intervals, ticks single seeds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results/few-demonstrations.json"
FILE = DOCS / "figures/demo.png"
LABELS = {
    "base": "base model",
    "rlvr": "RLVR",
    "sft-rlvr": "SFT → RLVR",
    "srl": "SRL",
    "srl-rlvr": "SRL → RLVR",
}
COLOURS = {"srl": "#2a9d6f", "srl-rlvr": "#00695c"}


def figure(results: dict[str, Any]) -> Figure:
    """One row for each method; scores in per cent."""
    drawn, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
    for row, method in enumerate(LABELS):
        colour = COLOURS.get(method, "#7a7f87")
        mean, low, high = (100 * value for value in results["methods"][method]["pass@1"])
        seeds = [100 * run["pass@1"][0] for run in results["runs"] if run["method"] == method]
        axes.barh(row, mean, color=colour, alpha=0.3, height=0.6)
        axes.plot([low, high], [row, row], color=colour, linewidth=2.5)
        axes.plot(seeds, [row] * len(seeds), "|", color=colour, markersize=9)
        axes.annotate(f"{mean:.0f} %", (max(high, *seeds) + 1.5, row), va="center", weight="bold")
    axes.set_yticks(range(len(LABELS)), LABELS.values())
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("test problems solved, % (mean, 95 % interval, seeds)")
    axes.spines[["top", "right"]].set_visible(False)
    return drawn


def main() -> None:
    """Writes the file."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    figure(results).savefig(FILE, dpi=160)


if __name__ == "__main__":
    main()

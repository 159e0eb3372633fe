"""The tables and figures of docs/study.md, from the rows that are committed.

python -m sitegen.study    # prints the part of the page
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from srl_agents.evaluation.contrasts import (
    BASE,
    Comparison,
    RunOutcome,
    as_markdown,
    coverage,
    percent,
)
from srl_agents.evaluation.rows import read_rows
from srl_agents.evaluation.statistics import (
    Estimate,
    Scores,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)
from srl_agents.view.figures import Figure, finish, fraction_axis, look, svg
from srl_env.seeding import stream

ROWS = Path(__file__).parents[1] / "docs/results/study"
FAMILIES = {
    "chains": "Chains of ten definitions",
    "stories": "Stories with six calculations",
    "graphs": "Graphs with many correct orders",
    "orders": "Orders of a shop, by calls of tools",
    "measures-chains": "Step measures in SRL, on chains",
    "measures-stories": "Step measures in SRL, on stories",
    "ablations": "SRL's parts and data, on chains",
}
COMPARED = ("chains", "stories", "graphs", "orders")
"""The families whose methods are compared over all of them."""
RIVAL = "sft-rlvr"
DRAWN = 4
THRESHOLDS = np.linspace(0, 1, 41)


def study(folder: Path = ROWS) -> str:
    """The part of the page: a table and a figure for each family with rows, one over all, rates."""
    found = {
        name: Comparison({}, tuple(rows)) for name in FAMILIES if (rows := read_rows(folder / name))
    }
    parts = [_family(name, comparison) for name, comparison in found.items()]
    parts += _all({name: found[name] for name in COMPARED if name in found})
    rates = {name: read_rows(folder / f"{name}-rates") for name in COMPARED}
    parts += [_rates(name, rows) for name, rows in rates.items() if rows]
    return "\n\n".join(parts) or "No run of the study has finished yet."


def _family(name: str, comparison: Comparison) -> str:
    figure = svg(passes(name, comparison))
    table = family_table(comparison)
    return f"### {FAMILIES[name]}\n\n{table}\n\n{coverage(comparison.rows)}\n\n{figure}"


def family_table(comparison: Comparison) -> str:
    """A row for each method: scores, what its rollouts look like, transfer, and cost."""
    head = [
        "method",
        "runs",
        "pass@1 %",
        "interquartile mean %",
        "largest pass@k %",
        f"above {RIVAL}",
        "legal steps %",
        "steps",
        "entropy",
        "untouched family %",
        "tokens",
        "seconds",
    ]
    return as_markdown(head, [_cells(comparison, method) for method in comparison.methods])


def _cells(comparison: Comparison, method: str) -> list[str]:
    (row,) = (row for row in comparison.rows if row.method == method)
    runs, scores = comparison.of(method), row.scores
    middle = interquartile_mean([_tables(comparison, method)], rng=stream("study", method))
    largest = max((name for name in scores if name.startswith("pass@")), key=_k)
    return [
        method,
        str(sum(row.runs)),
        percent(scores.get("pass@1"), interval=True),
        percent(middle, interval=True),
        f"{percent(scores[largest], interval=False)} (k = {_k(largest)})",
        _above(comparison, method),
        percent(scores.get("legal"), interval=False),
        _number(scores.get("steps")),
        _number(scores.get("entropy")),
        _transfer(runs),
        f"{np.mean([run.tokens for run in runs]):,.0f}",
        f"{row.seconds:.0f}",
    ]


def _above(comparison: Comparison, method: str) -> str:
    """The probability that a run of the method is above one of the rival, from the same base."""
    own, rival = (comparison.tables(each, "pass@1") for each in (method, RIVAL))
    shared = [base for base in own if base in rival]
    if not shared or method in (BASE, RIVAL):
        return "–"
    found = probability_of_improvement([own[b] for b in shared], [rival[b] for b in shared])
    return f"{found:.2f}"


def _transfer(runs: Sequence[RunOutcome]) -> str:
    """Mean pass@1 on environments that no run was trained in."""
    found = [
        float(np.nanmean(result.scores["pass@1"]))
        for run in runs
        for result in run.transfer.values()
        if "pass@1" in result.scores
    ]
    return _percent(float(np.mean(found)) if found else None)


def _rates(name: str, rows: Sequence[RunOutcome]) -> str:
    about = "pass@1 % on development problems, one run for each rate. The runs use the best one."
    return f"### Rates: {FAMILIES[name].lower()}\n\n{about}\n\n{rates_table(rows)}"


def rates_table(rows: Sequence[RunOutcome]) -> str:
    """pass@1 of each method at each learning rate."""
    scores: dict[str, dict[float, float]] = {}
    for row in rows:
        run = row.settings["run"]
        if row.result is not None:
            score = float(np.nanmean(row.result.scores["pass@1"]))
            scores.setdefault(run["method"], {})[run["train"]["lr"]] = score
    rates = sorted({rate for own in scores.values() for rate in own})
    body = [[m, *(_percent(own.get(rate)) for rate in rates)] for m, own in scores.items()]
    return as_markdown(["method", *(f"{rate:g}" for rate in rates)], body)


def _percent(score: float | None) -> str:
    return "–" if score is None else f"{100 * score:.1f}"


def _number(found: Estimate | None) -> str:
    return "–" if found is None else f"{found.value:.2f}"


def _k(name: str) -> int:
    return int(name.removeprefix("pass@"))


def _tables(comparison: Comparison, method: str) -> list[Scores]:
    return list(comparison.tables(method, "pass@1").values())


def passes(name: str, comparison: Comparison) -> Figure:
    """pass@k against k, of the base and the methods with the highest pass@1.

    A curve that meets the base's at a large k says that training only made likely answers likelier.
    """
    rows = {row.method: row.scores for row in comparison.rows if "pass@1" in row.scores}
    best = sorted((m for m in rows if m != BASE), key=lambda m: -rows[m]["pass@1"].value)
    shown = [*([BASE] if BASE in rows else []), *best[:DRAWN]]

    def draw(axes: Any) -> None:
        values = []
        for method in shown:
            scores = {_k(key): e for key, e in rows[method].items() if key.startswith("pass@")}
            ks = sorted(scores)
            style = look(comparison.methods, method)
            axes.plot(ks, [scores[k].value for k in ks], label=method, **style)
            low, high = [scores[k].low for k in ks], [scores[k].high for k in ks]
            axes.fill_between(ks, low, high, color=style["color"], alpha=0.15, lw=0)
            values += [scores[k].value for k in ks]
        axes.set_xscale("log", base=2)
        finish(axes, "k", "pass@k")
        fraction_axis(axes, values, "nothing was solved")

    return Figure(f"study-{name}", f"pass@k on {FAMILIES[name].lower()} (shaded: 95 %)", draw)


def _all(families: Mapping[str, Comparison]) -> list[str]:
    """A table and a figure over all families, of the methods that each of them has."""
    if len(families) < 2:
        return []
    first, *others = (comparison.methods for comparison in families.values())
    shared = [m for m in first if m != BASE and all(m in methods for methods in others)]
    tasks = {m: [_tables(each, m) for each in families.values()] for m in shared}
    middle = {m: interquartile_mean(tasks[m], rng=stream("study", "all", m)) for m in shared}
    best = sorted(shared, key=lambda m: -middle[m].value)
    body = [[m, percent(middle[m], interval=True)] for m in best]
    names = ", ".join(FAMILIES[name].lower() for name in families)
    table = as_markdown(["method", "interquartile mean of pass@1 %"], body)
    figure = svg(profiles(shared, tasks))
    return [f"### Over {len(families)} families\n\n{table}\n\nOver {names}.\n\n{figure}"]


def profiles(methods: Sequence[str], tasks: Mapping[str, list[list[Scores]]]) -> Figure:
    """The fraction of runs above each score, over all families."""

    def draw(axes: Any) -> None:
        for method in methods:
            rng = stream("study", "profile", method)
            found = performance_profile(tasks[method], THRESHOLDS.tolist(), rng=rng)
            style = {**look(methods, method), "marker": ""}
            axes.plot(THRESHOLDS, [e.value for e in found], label=method, **style)
        finish(axes, "pass@1 of a run is above", "fraction of runs")
        axes.set_ylim(0, 1)

    return Figure("study-profiles", "Performance profiles over all families", draw)


if __name__ == "__main__":
    print(study())

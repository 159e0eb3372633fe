"""A comparison as one HTML page that needs no network, a PNG, and a table for the terminal."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from math import isnan, nan
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from srl_agents.evaluation.contrasts import (
    BASE,
    TITLES,
    Comparison,
    Row,
    RunOutcome,
    coverage,
    markdown_table,
    percent,
    score_columns,
)
from srl_agents.evaluation.statistics import Estimate, mean
from srl_agents.view.figures import figures, png, svg

REPORT, PICTURE, MARKDOWN = "report.html", "report.png", "report.md"


def write_report(comparison: Comparison, folder: Path) -> Path:
    """The path of ``report.html``; beside it are ``report.png``, ``report.md``, ``results.json``.

    Raises MissingExtra without matplotlib.
    """
    folder.mkdir(parents=True, exist_ok=True)
    comparison.save(folder)
    (folder / MARKDOWN).write_text(markdown_table(comparison.rows), encoding="utf-8")
    found = figures(comparison)
    if found:
        png(found, folder / PICTURE)
    path = folder / REPORT
    path.write_text(page(comparison), encoding="utf-8")
    return path


def comparison_table(comparison: Comparison) -> Table:
    """The comparison's rows for the terminal."""
    rows = comparison.rows
    names = score_columns(rows)
    caption = f"Per cent; s: seconds of training. {coverage(rows)}" if rows else ""
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
    grid.add_column("method", no_wrap=True)
    for head in ("seeds", *(TITLES.get(name, name) for name in names), "s"):
        grid.add_column(head, justify="right", no_wrap=head == "pass@1")
    for row in rows:
        grid.add_row(*_cells(row, names, intervals=("pass@1",)))
    return grid


def page(comparison: Comparison) -> str:
    """The whole HTML page."""
    sections = (
        _section("Result", _headline(comparison) + _rows_table(comparison)),
        _section("Figures", _figures(comparison)),
        _section("Every pair of methods", _contrasts(comparison)),
        _section("Runs", _runs(comparison)),
        _section("Settings", _settings(comparison)),
    )
    title = html.escape(_title(comparison))
    return _PAGE.format(title=title, style=_STYLE, body="\n".join(sections))


def headline(comparison: Comparison) -> str:
    """The result in a sentence or two."""
    rows = [r for r in comparison.rows if r.method != BASE and "pass@1" in r.scores]
    if not rows:
        return "No run has finished."
    if not any(row.scores["pass@1"].value for row in comparison.rows if "pass@1" in row.scores):
        return _nothing_solved(comparison)
    rows.sort(key=lambda row: -row.scores["pass@1"].value)
    said = f"{rows[0].method} is right on {percent(rows[0].scores['pass@1'], interval=True)} %"
    said += " of rollouts on unseen problems"
    if len(rows) == 1:
        return said + "."
    said += f"; {rows[1].method}, which comes next, on "
    said += percent(rows[1].scores["pass@1"], interval=True) + " %."
    if any(pair.difference.low <= 0 for pair in comparison.contrasts()[:1]):
        said += " The interval of their difference includes 0: they cannot be told apart."
    return said


def learned(comparison: Comparison) -> str:
    """What each method learned beyond the base model, or why nothing, in one sentence."""
    gains = comparison.gains()
    if not gains:
        return "What was learned cannot be said: no method and the base model were both evaluated."
    said = "; ".join(_gain(comparison, method, gain) for method, gain in gains.items())
    return f"What was learned, in percentage points of pass@1 above the base model: {said}."


def _gain(comparison: Comparison, method: str, gain: Estimate) -> str:
    found = f"{method} {percent(gain, interval=True)}"
    if gain.low > 0:
        return found
    if gain.high < 0:
        return f"{found}, so it became worse"
    warned = any(run.warnings for run in comparison.of(method))
    why = ", as its warnings explain" if warned else ""
    return f"{found}, so nothing that can be measured{why}"


def _nothing_solved(comparison: Comparison) -> str:
    """What was evaluated to no avail."""
    problems = max(row.problems for row in comparison.rows)
    results = [run.result for run in comparison.runs if run.result]
    rollouts = sum(result.episodes for result in results)
    return (
        f"Nothing was solved: none of {rollouts:,} rollouts of {problems} unseen problems"
        " is correct, with any method."
    )


def _title(comparison: Comparison) -> str:
    trained = [method for method in comparison.methods if method != BASE]
    env = comparison.settings.get("run", {}).get("env", {}).get("id", "")
    return f"{', '.join(trained)} on {env}" if env else ", ".join(trained)


def _cells(row: Row, names: Sequence[str], intervals: Sequence[str]) -> list[str]:
    shares = [
        percent(row.scores.get(name), interval=name in intervals and name.startswith("pass@"))
        for name in names
    ]
    return [row.method, str(len(row.seeds)), *shares, f"{row.seconds:.0f}"]


def _headline(comparison: Comparison) -> str:
    return f'<p class="lead">{html.escape(headline(comparison))}</p>'


def _rows_table(comparison: Comparison) -> str:
    rows = comparison.rows
    names = score_columns(rows)
    head = ["method", "seeds", *(TITLES.get(name, name) for name in names), "seconds of training"]
    note = f"Per cent; in brackets bootstrap intervals. {coverage(rows)}" if rows else ""
    body = (_cells(row, names, intervals=names) for row in rows)
    return _table(head, body) + f"<p>{html.escape(note)}</p>"


def _figures(comparison: Comparison) -> str:
    parts = (
        f"<figure>{svg(figure)}<figcaption>{html.escape(figure.caption)}</figcaption></figure>"
        for figure in figures(comparison)
    )
    return f'<div class="figures">{"".join(parts)}</div>'


def _contrasts(comparison: Comparison) -> str:
    found = comparison.contrasts()
    if not found:
        return ""
    head = ["methods", "difference of pass@1", "probability of improvement"]
    body = (
        [f"{c.first} − {c.second}", percent(c.difference, interval=True), f"{c.improvement:.2f}"]
        for c in found
    )
    note = "The difference is in percentage points and paired by problem."
    if len(found) > 1:
        note += (
            f" The intervals of all {len(found)} pairs contain the true differences together in"
            " 95 % of comparisons; so comparing the best with the others is accounted for."
        )
    note += (
        " The probability that a run of the first scores higher on a problem drawn at random"
        " counts ties as half; 0.5 is no difference."
    )
    covers = coverage([row for row in comparison.rows if row.method != BASE])
    return _table(head, body) + f"<p>{note} {html.escape(covers)}</p>"


def _runs(comparison: Comparison) -> str:
    base = ["base model"] if len(comparison.bases) > 1 else []
    head = ["run", *base, "seed", "pass@1", "updates", "seconds", "tokens", "failures", "state"]
    warnings = "".join(
        f"<li>{html.escape(f'{run.label}, {warning}')}</li>"
        for run in comparison.runs
        for warning in run.warnings
    )
    table = _table(head, (_run_cells(run) for run in comparison.runs))
    return table + (f"<p>Warnings:</p><ul>{warnings}</ul>" if warnings else "")


def _run_cells(run: RunOutcome) -> list[str]:
    result = run.result
    score = mean(np.array(result.scores.get("pass@1", ()))) if result else nan
    failures = "–"
    if result:
        failures = ", ".join(f"{n} {kind}" for kind, n in result.failures.items()) or "0"
    return [
        run.method,
        *([run.base] if run.base else []),
        str(run.seed),
        "–" if isnan(score) else f"{100 * score:.1f}",
        str(run.updates),
        f"{run.seconds:.0f}",
        f"{run.tokens:,}",
        failures,
        run.error or ("finished" if result else "unfinished"),
    ]


def _settings(comparison: Comparison) -> str:
    text = html.escape(json.dumps(comparison.settings, indent=2, ensure_ascii=False))
    return f"<details><summary>The whole configuration</summary><pre>{text}</pre></details>"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody>'
        "</table></div>"
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""

_STYLE = """
:root { --ink: #1c1e21; --soft: #5a6068; --line: #d8dce1; --paper: #fff; --band: #f5f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #a0a7b0; --line: #3a3f46; --paper: #16181b; --band: #1f2226; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 72rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p { color: var(--soft); max-width: 46rem; }
p.lead { color: var(--ink); font-size: 1.1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .35rem .9rem .35rem 0; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: var(--paper); }
@media (max-width: 760px) {
  th:first-child, td:first-child { min-width: 7.5rem; max-width: 38vw; white-space: normal;
    overflow-wrap: anywhere; }
}
thead th { color: var(--soft); font-weight: 600; font-size: .85rem; }
tbody tr:hover { background: var(--band); }
.figures { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
figure { margin: 0; padding: .8rem; border: 1px solid var(--line); border-radius: .5rem; }
figure svg { display: block; width: 100%; height: auto; color: var(--ink); }
figcaption { color: var(--soft); font-size: .85rem; margin-top: .4rem; }
pre { overflow-x: auto; padding: 1rem; background: var(--band); border-radius: .5rem;
  font-size: .85rem; }
summary { cursor: pointer; }
"""

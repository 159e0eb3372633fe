"""A comparison as one HTML page that needs no network, a PNG, and a table for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from math import isnan, nan
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from srl_agents.evaluation.contrasts import (
    BASE,
    Comparison,
    RunOutcome,
    as_markdown,
    coverage,
    markdown_table,
    percent,
    table_cells,
)
from srl_agents.evaluation.statistics import Estimate, mean
from srl_agents.view.figures import comparison_figures, png, svg
from srl_agents.view.template import fill, part

REPORT, PICTURE, MARKDOWN = "report.html", "report.png", "report.md"


def write_report(comparison: Comparison, folder: Path) -> Path:
    """The path of ``report.html``; beside it are ``report.png``, ``report.md``, ``results.json``.

    Raises MissingExtra without matplotlib.
    """
    folder.mkdir(parents=True, exist_ok=True)
    comparison.save(folder)
    (folder / MARKDOWN).write_text(markdown(comparison), encoding="utf-8")
    if found := comparison_figures(comparison):
        png(found, folder / PICTURE)
    path = folder / REPORT
    path.write_text(page(comparison), encoding="utf-8")
    return path


def comparison_table(comparison: Comparison) -> Table:
    """The comparison's rows for the terminal."""
    rows = comparison.rows
    heads, *body = table_cells(rows)
    caption = f"seconds: of training. {coverage(rows)}" if rows else ""
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
    grid.add_column("method", no_wrap=True)
    for head in heads[1:]:
        grid.add_column(head, justify="right", no_wrap=head == "pass@1 %")
    for cells in body:
        grid.add_row(*cells)
    return grid


def headline(comparison: Comparison) -> str:
    """The result in a sentence or two."""
    rows = [r for r in comparison.rows if r.method != BASE and "pass@1" in r.scores]
    if not rows:
        return "No run has finished."
    if not any(row.scores["pass@1"].value for row in comparison.rows if "pass@1" in row.scores):
        rollouts = sum(run.result.episodes for run in comparison.runs if run.result)
        problems = max(row.problems for row in comparison.rows)
        return (
            f"Nothing was solved: none of {rollouts:,} rollouts of {problems} unseen problems"
            " is correct, with any method."
        )
    rows.sort(key=lambda row: -row.scores["pass@1"].value)
    best, *others = ((row.method, percent(row.scores["pass@1"], interval=True)) for row in rows)
    said = f"{best[0]} is correct on {best[1]} % of rollouts on unseen problems"
    if not others:
        return said + "."
    said += f"; {others[0][0]} is next with {others[0][1]} %."
    if any(pair.difference.low <= 0 for pair in comparison.contrasts()[:1]):
        said += " The interval of their difference includes 0, so they are not distinguishable."
    return said


def learned(comparison: Comparison) -> str:
    """What each method learned beyond the base model, or why nothing, in one sentence."""
    gains = comparison.gains()
    if not gains:
        return "The gain is unknown: no method was evaluated together with its base model."
    said = "; ".join(_gain(comparison, method, gain) for method, gain in gains.items())
    return f"Gain in percentage points of pass@1 over the base model: {said}."


def _gain(comparison: Comparison, method: str, gain: Estimate) -> str:
    found = f"{method} {percent(gain, interval=True)}"
    if gain.low > 0:
        return found
    if gain.high < 0:
        return f"{found}, so it became worse"
    warned = any(run.warnings for run in comparison.of(method))
    why = " (see its warnings)" if warned else ""
    return f"{found}, so no measurable change{why}"


def markdown(comparison: Comparison) -> str:
    """Every table of the comparison as Markdown, what is missing, and where its runs come from."""
    parts = [headline(comparison), learned(comparison), *_markdown_tables(comparison)]
    for name, elsewhere in comparison.transferred().items():
        parts += [f"**{name}**, where no method was trained. {learned(elsewhere)}"]
        parts += _markdown_tables(elsewhere)
    if comparison.missing:
        parts += [
            f"**Missing:** {len(comparison.missing)} of {len(comparison.runs)} runs.",
            "\n".join(f"- {r.label}: {r.error or 'not finished'}" for r in comparison.missing),
        ]
    if made := [run for run in comparison.runs if run.commit]:
        parts.append(as_markdown(_MADE, [_made_cells(run) for run in made]).rstrip())
    return "\n\n".join(parts) + "\n"


_MADE = ["run", "jobs", "tokens", "seconds", "weights", "commit", "processor"]


def _made_cells(run: RunOutcome) -> list[str]:
    """Where a run comes from."""
    numbers = [str(run.jobs), f"{run.tokens:,}", f"{run.seconds:.0f}"]
    return [run.label, *numbers, run.weights[:8] or "unknown", run.commit, run.processor]


def _markdown_tables(comparison: Comparison) -> list[str]:
    """The scores, and how the steps look."""
    rows = comparison.rows
    if not rows:
        return []
    names = {"format": 100, "truncated": 100, "steps": 1, "tokens": 1}
    head = ["method", "steps in the format %", "truncated %", "steps of a rollout", "tokens"]
    body = [
        [row.method, *(_number(row.scores.get(name), unit) for name, unit in names.items())]
        for row in rows
    ]
    return [markdown_table(rows).rstrip(), as_markdown(head, body).rstrip()]


def _number(found: Estimate | None, unit: float) -> str:
    return "–" if found is None else f"{unit * found.value:.1f}"


# The page. Every text goes through ``escape`` in _paragraph, _table, or where it is placed.


def page(comparison: Comparison) -> str:
    """The whole HTML page."""
    trained = ", ".join(method for method in comparison.methods if method != BASE)
    env = comparison.settings.get("run", {}).get("env", {}).get("id", "")
    sections = {
        "Result": _paragraph(headline(comparison), "lead") + _rows_table(comparison),
        "Figures": _figures(comparison),
        "Every pair of methods": _contrasts(comparison),
        "Elsewhere": _elsewhere(comparison),
        "Runs": _runs(comparison),
        "Settings": _settings(comparison),
    }
    body = (
        f"<section><h2>{title}</h2>{text}</section>" for title, text in sections.items() if text
    )
    return fill(
        "report.html",
        {
            "title": escape(f"{trained} on {env}" if env else trained),
            "style": part("base.css") + part("report.css"),
            "body": "\n".join(body),
        },
    )


def _rows_table(comparison: Comparison) -> str:
    rows = comparison.rows
    if not rows:
        return ""
    heads, *body = table_cells(rows, every_interval=True)
    return _table(heads, body) + _paragraph(f"Seconds are of training. {coverage(rows)}")


def _figures(comparison: Comparison) -> str:
    parts = (
        f"<figure>{svg(figure)}<figcaption>{escape(figure.caption)}</figcaption></figure>"
        for figure in comparison_figures(comparison)
    )
    return f'<div class="figures">{"".join(parts)}</div>'


def _elsewhere(comparison: Comparison) -> str:
    """The scores in environments that no run trained in."""
    return "".join(
        _paragraph(f"{name}: {learned(other)}") + _rows_table(other)
        for name, other in comparison.transferred().items()
    )


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
            f" The intervals of all {len(found)} pairs together contain the true differences in"
            " 95 % of comparisons, so you may compare the best method with all others."
        )
    note += (
        " The probability of improvement is that of a run of the first method to score higher than"
        " one of the second on a random problem. Ties count as half, so 0.5 means no difference. "
    )
    covers = coverage([row for row in comparison.rows if row.method != BASE])
    return _table(head, body) + _paragraph(note + covers)


def _runs(comparison: Comparison) -> str:
    base = ["base model"] if len(comparison.bases) > 1 else []
    head = ["run", *base, "seed", "pass@1", "updates", "seconds", "tokens", "failures", "state"]
    failed = [f"{run.label}: {run.error}" for run in comparison.runs if run.error]
    warned = [f"{run.label}, {each}" for run in comparison.runs for each in run.warnings]
    table = _table(head, (_run_cells(run) for run in comparison.runs))
    return table + _list("Failed runs:", failed) + _list("Warnings:", warned)


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
        "failed" if run.error else "finished" if result else "unfinished",
    ]


def _settings(comparison: Comparison) -> str:
    text = escape(json.dumps(comparison.settings, indent=2, ensure_ascii=False))
    return f"<details><summary>The whole configuration</summary><pre>{text}</pre></details>"


def _paragraph(text: str, kind: str = "soft") -> str:
    return f'<p class="{kind}">{escape(text)}</p>'


def _list(title: str, items: Sequence[str]) -> str:
    lines = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<p>{title}</p><ul>{lines}</ul>" if items else ""


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'

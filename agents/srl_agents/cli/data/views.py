"""What ``srl-env data`` shows: a bar with the time left, and tables. Nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from srl_agents.cli.console import progress_bars
from srl_env.problem import Problem
from srl_env.text.unicode import escaped

if TYPE_CHECKING:
    from srl_env.data.drops import DropReport
    from srl_env.data.forms.detect import Reading
    from srl_env.data.quality.lint import LintReport
    from srl_env.data.quality.summary import Spread, Summary
    from srl_env.data.rows import Row


_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


@contextmanager
def reading_bar(title: str, reading: Reading) -> Iterator[Callable[[int], None]]:
    """A bar of how much is read; give what it yields to ``convert`` or ``lint``."""
    with progress_bars(transient=True) as bars:
        task = bars.add_task(title, total=reading.stream.bytes_total, note="")

        def show(rows: int) -> None:
            bars.update(task, completed=reading.stream.bytes_done, note=f"{rows:,} rows")

        yield show


def summary_view(summary: Summary) -> RenderableType:
    """What data hold, and the first problem."""
    grid = Table(title=f"{summary.bad.kept:,} problems, {escape(summary.reading.about)}")
    grid.add_column("")
    grid.add_column("", justify="right")
    grid.add_column("")
    stream = summary.reading.stream
    named = all(stream.split(file) is not None for file in range(len(stream.files)))
    for name, count in sorted(summary.splits.items()):
        share = f"{_share(count, summary.bad.kept)}{'' if named else ' by the hash of ids'}"
        grid.add_row(f"split {escape(name)}", f"{count:,}", share)
    grid.add_row(
        "with an answer", f"{summary.answers:,}", _share(summary.answers, summary.bad.kept)
    )
    grid.add_row("solutions", f"{_solutions(summary):,}", "")
    grid.add_row("steps", f"{summary.action.total:,}", _spread(summary.steps, "of a solution"))
    for name, count in (
        ("with a title", summary.titled),
        ("with a thought", summary.thought_out),
        ("with an observation", summary.observed),
    ):
        grid.add_row(f"  {name}", f"{count:,}", _share(count, summary.action.total))
    for name, spread in (
        ("a prompt", summary.prompt),
        ("an action", summary.action),
        ("a thought", summary.thought),
    ):
        if spread.total:
            grid.add_row(f"characters of {name}", f"{spread.mean:,.0f}", _spread(spread, ""))
    grid.add_row("SRL instances", f"{summary.instances['paper']:,}", "targets 'paper'")
    grid.add_row("", f"{summary.instances['all']:,}", "targets 'all'")
    if unused := summary.reading.unused:
        grid.add_row("unused columns", f"{len(unused)}", escape(escaped(", ".join(unused))))
    parts: list[RenderableType] = [grid]
    if summary.first is not None:
        parts += [Text(), _problem(summary.first)]
    if summary.bad.dropped:
        parts += [Text(), drop_view(summary.bad)]
    return Group(*parts)


def columns_view(rows: Sequence[Row]) -> RenderableType:
    """The columns of rows whose form is unknown, and what each seems to be."""
    from srl_env.data.forms.columns import columns_of, proposed

    found = {column: name for name, column in proposed(rows).items()}
    grid = Table(title="columns of the first rows")
    for head in ("column", "filled", "first value", "proposed as"):
        grid.add_column(head)
    for column in columns_of(rows):
        value = Text(_cut(escaped(str(column.example)).replace("\n", " ⏎ "), 60))
        kind = found.get(column.name, "")
        grid.add_row(Text(escaped(column.name)), f"{column.filled:.0%}", value, kind)
    return grid


def drop_view(report: DropReport) -> RenderableType:
    """The rows that were left out, by reason."""
    return Text(str(report), style="yellow" if report.dropped else "")


def lint_view(report: LintReport) -> RenderableType:
    """Each broken rule with examples, errors first, and the verdict."""
    from srl_env.data.quality.lint import RULES, severity_of

    grid = Table(title=f"{report.problems:,} of {report.rows:,} rows are problems", show_lines=True)
    grid.add_column("rule")
    grid.add_column("times", justify="right")
    grid.add_column("what it means, and where")
    order = list(_COLOURS)
    names = sorted(
        report.counts, key=lambda n: (order.index(severity_of(n)), list(RULES).index(_rule(n)), n)
    )
    for name in names:
        about = Text(RULES[_rule(name)].about, style="italic")
        for place, message in report.examples.get(name, []):
            about.append(f"\n{place}", style="bold not italic").append(
                f"  {message}", style="not italic"
            )
        grid.add_row(
            Text(name, style=_COLOURS[severity_of(name)]), f"{report.counts[name]:,}", about
        )
    told = Text(
        f"Read as {report.form}; verifier {report.verifier}, completion format {report.format}.\n"
    )
    counts = {severity: report.total(severity) for severity in ("error", "warning", "note")}
    verdict = ", ".join(f"{n:,} {name}{'s' * (n != 1)}" for name, n in counts.items())
    told.append(verdict, style="bold green" if report.passed else "bold red")
    return Group(*([grid] if names else []), told)


def _rule(name: str) -> str:
    return name.partition(":")[0]


def _problem(problem: Problem) -> RenderableType:
    """The first problem, as it was understood."""
    shown = Text()
    shown.append(f"first problem, {problem.id}\n", style="bold").append(_cut(problem.prompt, 600))
    steps = problem.trajectories[0].steps if problem.trajectories else ()
    for number, step in enumerate(steps[:8], 1):
        shown.append(f"\n{number}. ", style="bold")
        if step.title is not None:
            shown.append(f"[{step.title}] ", style="cyan")
        shown.append(_cut(step.action, 200))
    if len(steps) > 8:
        shown.append(f"\n… and {len(steps) - 8} more", style="dim")
    if problem.answer is not None:
        shown.append("\nanswer ", style="bold").append(_cut(problem.answer, 200))
    return shown


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def _share(count: int, of: int) -> str:
    return f"{count / of:.1%}" if of else ""


def _solutions(summary: Summary) -> int:
    return sum(value * count for value, count in summary.solutions.counts.items())


def _spread(spread: Spread, of: str) -> str:
    low, middle, high = (spread.quantile(share) for share in (0.05, 0.5, 0.95))
    most = max(spread.counts, default=0)
    return f"{low:,} … {middle:,} … {high:,}, most {most:,} {of}".rstrip()

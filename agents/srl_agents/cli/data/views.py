"""What ``srl-env data`` prints: a progress bar, and tables."""

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
    """A progress bar; it yields the function that ``convert`` and ``lint`` call."""
    with progress_bars(transient=True) as bars:
        task = bars.add_task(title, total=reading.stream.bytes_total, note="")

        def show(rows: int) -> None:
            bars.update(task, completed=reading.stream.bytes_done, note=f"{rows:,} rows")

        yield show


def summary_view(summary: Summary) -> RenderableType:
    """What data hold, and the first problem."""
    problems, steps = summary.bad.kept, summary.spreads["action"].total()
    grid = Table(title=f"{problems:,} problems, {escape(summary.reading.about)}")
    grid.add_column("")
    grid.add_column("", justify="right")
    grid.add_column("")
    how = "" if summary.reading.splits_are_files else " by the hash of ids"
    for name, count in sorted(summary.splits.items()):
        grid.add_row(f"split {escape(name)}", f"{count:,}", _percent(count, problems) + how)
    answers = summary.counts["answer"]
    grid.add_row("with an answer", f"{answers:,}", _percent(answers, problems))
    grid.add_row("solutions", f"{summary.spreads['steps'].total():,}", "")
    grid.add_row("steps", f"{steps:,}", _spread(summary.spreads["steps"], "of a solution"))
    for part in ("title", "thought", "observation"):
        count = summary.counts[part]
        grid.add_row(f"  with {_a(part)}", f"{count:,}", _percent(count, steps))
    for part in ("prompt", "action", "thought"):
        if spread := summary.spreads[part]:
            grid.add_row(f"characters of {_a(part)}", f"{spread.mean:,.0f}", _spread(spread))
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
    """The columns of rows whose form is unknown, and a guess of what each holds."""
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
    """The dropped rows, by reason."""
    return Text(str(report), style="yellow" if report.dropped else "")


def lint_view(report: LintReport) -> RenderableType:
    """Each broken rule with examples, errors first, and the verdict."""
    from srl_env.data.quality.rules import RULES, severity_of

    grid = Table(title=f"{report.problems:,} of {report.rows:,} rows are problems", show_lines=True)
    grid.add_column("rule")
    grid.add_column("times", justify="right")
    grid.add_column("what it means, and where")
    order = list(_COLOURS), list(RULES)
    names = sorted(
        report.counts,
        key=lambda n: (order[0].index(severity_of(n)), order[1].index(_rule(n)), n),
    )
    for name in names:
        about = Text(RULES[_rule(name)].about, style="italic")
        for place, message in report.examples.get(name, []):
            about.append(f"\n{place}", style="bold not italic")
            about.append(f"  {message}", style="not italic")
        grid.add_row(
            Text(name, style=_COLOURS[severity_of(name)]), f"{report.counts[name]:,}", about
        )
    end = Text(
        f"Read as {report.form}; verifier {report.verifier}, completion format {report.format}.\n"
    )
    counts = {severity: report.total(severity) for severity in ("error", "warning", "note")}
    verdict = ", ".join(f"{n:,} {name}{'s' * (n != 1)}" for name, n in counts.items())
    end.append(verdict, style="bold green" if report.passed else "bold red")
    return Group(*([grid] if names else []), end)


def _rule(name: str) -> str:
    return name.partition(":")[0]


def _problem(problem: Problem) -> RenderableType:
    """The first problem, as it was read."""
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


def _a(part: str) -> str:
    return f"an {part}" if part[0] in "ao" else f"a {part}"


def _percent(count: int, of: int) -> str:
    return f"{count / of:.1%}" if of else ""


def _spread(spread: Spread, of: str = "") -> str:
    low, middle, high = (spread.quantile(part) for part in (0.05, 0.5, 0.95))
    return f"{low:,} … {middle:,} … {high:,}, most {max(spread, default=0):,} {of}".rstrip()

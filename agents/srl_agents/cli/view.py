"""What ``srl-env view`` and ``srl-env plot`` do, once their options are read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from srl_agents.cli.console import errors, output
from srl_agents.view.page import MOST_STEPS, write_page
from srl_agents.view.plots import FORMATS, plot
from srl_agents.view.sources import ViewedRun, find_runs
from srl_agents.view.terminal import show
from srl_env.errors import BadOption

PAGE, FIGURES = "view.html", "figures"


def view_command(
    paths: Sequence[Path],
    out: Path | None,
    terminal: bool,
    filters: Sequence[str],
    step: int | None,
    most_steps: int | None,
    tokens: bool,
) -> None:
    """Writes the page, or shows the runs in the terminal."""
    if terminal and out is not None:
        raise BadOption("--terminal writes no page; leave --out or --terminal out")
    if not terminal and (filters or step is not None):
        raise BadOption("--where and --step are for --terminal; the page has its own filters")
    runs = find_runs(paths)
    most = most_steps or MOST_STEPS
    if terminal:
        ask = _ask if sys.stdin.isatty() and sys.stdout.isatty() else None
        show(runs, output, filters=filters, step=step, ask=ask, most_steps=most)
        return
    path = out or _beside(paths, runs)
    with errors.status("Reading rollouts …"):
        write_page(runs, path, most_steps=most, tokens=tokens)
    size = path.stat().st_size / 1e6
    output.print(
        f"Page: {path} ({size:.1f} MB); open it in a browser", soft_wrap=True, markup=False
    )


def plot_command(paths: Sequence[Path], out: Path | None, formats: Sequence[str] | None) -> None:
    """Writes the figures and tables, and says which."""
    beside = paths[0] / FIGURES if len(paths) == 1 and paths[0].is_dir() else Path(FIGURES)
    with errors.status("Drawing …"):
        made = plot(paths, out or beside, formats or FORMATS)
    for note in made.notes:
        errors.print(note, style="yellow", markup=False, highlight=False)
    output.print(f"{len(made.files)} files in {out or beside}:", soft_wrap=True, markup=False)
    for name in dict.fromkeys(file.stem for file in made.files):
        kinds = ", ".join(file.suffix[1:] for file in made.files if file.stem == name)
        output.print(f"  {name} ({kinds})", soft_wrap=True, markup=False, highlight=False)


def _beside(paths: Sequence[Path], runs: Sequence[ViewedRun]) -> Path:
    """Where the page goes: into the folder that was given, or here where there are several."""
    if len(paths) > 1:
        return Path(PAGE)
    return paths[0] / PAGE if paths[0].is_dir() else runs[0].folder / PAGE


def _ask() -> str:
    try:
        return output.input("view> ")
    except EOFError:
        return "q"

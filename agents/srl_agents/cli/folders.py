"""Folders that commands write, and how a stopped command is resumed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from srl_env.errors import SrlEnvError

INTERRUPTED = 130


def fresh_folder(name: str) -> Path:
    """A folder under ``runs`` that does not exist yet: ``runs/NAME-001``, or the next number."""
    numbers = (Path("runs") / f"{name}-{number:03d}" for number in range(1, 10**6))
    return next(folder for folder in numbers if not folder.exists())


@contextmanager
def resume_hint(command: Sequence[str], saved: Path | None = None) -> Iterator[None]:
    """Prints the command that resumes after Ctrl-C, and after an error if ``saved`` exists."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(
            f"Interrupted. Progress is saved; resume with:\n  {shlex.join(command)}", err=True
        )
        raise typer.Exit(INTERRUPTED) from None
    except (SrlEnvError, OSError):
        if saved is not None and saved.exists():
            again = shlex.join(command)
            typer.echo(f"Progress is saved. Fix the problem, then run:\n  {again}", err=True)
        raise

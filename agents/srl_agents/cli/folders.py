"""Folders that commands write: a fresh one, how to go on in it, files that appear whole."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from srl_env.errors import SrlEnvError

INTERRUPTED = 130


def fresh_folder(name: str) -> Path:
    """A folder under ``runs`` that does not exist yet: ``runs/NAME-001``, or the next number."""
    numbers = (Path("runs") / f"{name}-{number:03d}" for number in range(1, 10**6))
    return next(folder for folder in numbers if not folder.exists())


@contextmanager
def how_to_go_on(command: Sequence[str], saved: Path | None = None) -> Iterator[None]:
    """Ctrl-C inside says which command goes on, and so does an error once ``saved`` is there."""
    again = shlex.join(command)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"Interrupted; what was done is saved. Go on with:\n  {again}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (SrlEnvError, OSError):
        if saved is not None and saved.exists():
            typer.echo(f"Progress is saved. Fix the problem, then run:\n  {again}", err=True)
        raise


def write_json(path: Path, data: Any) -> None:
    """The file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)

"""Errors of the library as one line and an exit code, for every command."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import typer
from typer.core import TyperCommand

from srl_env.errors import BadOption, MissingExtra, SrlEnvError, UserError
from srl_env.text.unicode import escaped

P = ParamSpec("P")

_TRAINING_PACKAGES = {"torch", "transformers", "tokenizers", "accelerate", "matplotlib"}


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """The command, ending with one line and exit code 2 for a user's mistake, 1 for other errors
    of the library. Any other exception is a bug and keeps its traceback.
    """

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except SrlEnvError as error:
            raise _exit(error) from None
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _TRAINING_PACKAGES:
                raise
            raise _exit(MissingExtra(package, "train")) from None
        except OSError as error:
            if error.errno is None or error.strerror is None:
                raise
            raise _exit(_file_error(error)) from None

    return guarded


class ValueNamingCommand(TyperCommand):
    """A command whose message about a value that cannot be read repeats the value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's; typer leaves the value to the cause, an error of pydantic."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            cause: Any = error.__cause__
            if hasattr(cause, "errors"):
                given = cause.errors()[0]["input"]
                error.message = f"{error.message.removesuffix('.')}; got {given!r}"
            raise


def _file_error(error: OSError) -> BadOption:
    """The system's message about a file or a disk, and how to fix it."""
    fix = {
        errno.ENOSPC: "free space on that disk and resume",
        errno.EDQUOT: "free space in that quota and resume",
        errno.EFBIG: "allow larger files there and resume",
        errno.EACCES: "choose another place, or change its permissions",
        errno.EPERM: "choose another place, or change its permissions",
        errno.EROFS: "choose another place with --out",
        errno.ENOENT: "check the path",
    }.get(error.errno or 0, "choose another place")
    where = f"{error.filename}: " if error.filename else "while writing: "
    return BadOption(f"{where}{error.strerror}. Fix: {fix}")


def _exit(error: SrlEnvError) -> typer.Exit:
    """Prints an error; returns the exit that belongs to it."""
    typer.echo(f"error: {escaped(str(error))}", err=True)
    return typer.Exit(2 if isinstance(error, UserError) else 1)

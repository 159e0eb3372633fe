"""Where errors of the library become one line and an exit code, for every command."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from srl_env.errors import BadOption, MissingExtra, SrlEnvError, UserError
from srl_env.text.unicode import escaped

P = ParamSpec("P")

_TRAINING_PACKAGES = {"torch", "transformers", "tokenizers", "accelerate", "matplotlib"}


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """The command, ending with one line and exit code 2 for a user's mistake, 1 for other errors
    of the library. Anything else is a bug and goes through.
    """

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except SrlEnvError as error:
            raise _ended(error) from None
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _TRAINING_PACKAGES:
                raise
            raise _ended(MissingExtra(package, "train")) from None
        except OSError as error:
            if error.errno is None or error.strerror is None:
                raise
            raise _ended(_about_files(error)) from None

    return guarded


def _about_files(error: OSError) -> BadOption:
    """What the system says of a file or a disk, and what to do."""
    advice = {
        errno.ENOSPC: "make room on that disk and go on",
        errno.EDQUOT: "make room in that quota and go on",
        errno.EFBIG: "make room for larger files there and go on",
        errno.EACCES: "choose another place, or change who may use that one",
        errno.EPERM: "choose another place, or change who may use that one",
        errno.EROFS: "choose another place with --out",
        errno.ENOENT: "check the path",
    }.get(error.errno or 0, "choose another place")
    where = f"{error.filename}: " if error.filename else "while writing: "
    return BadOption(f"{where}{error.strerror}; {advice}")


def _ended(error: SrlEnvError) -> typer.Exit:
    """The exit that goes with an error, which is said."""
    typer.echo(f"error: {escaped(str(error))}", err=True)
    return typer.Exit(2 if isinstance(error, UserError) else 1)

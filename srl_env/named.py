"""Objects chosen by name: one of the library's, or your own as ``module:name``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from srl_env.errors import BadOption, UnknownName

T = TypeVar("T")


def named(kind: str, name: str, known: Mapping[str, T]) -> T:
    """The object of that name.

    kind: what it is, for messages. name: one of ``known``, or "module:name" of a module that can
    be imported or is in the current folder. Raises ``UnknownName`` for a name that does not
    exist, ``BadOption`` for a module that cannot be imported.
    """
    if name in known:
        return known[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise UnknownName(kind, name, [*known, "module:name"])
    value: T = getattr(_module(kind, name, module), attribute, None)  # type: ignore[assignment]
    if value is None:
        raise BadOption(f"{kind} {name!r}: the module {module!r} has no {attribute!r}")
    return value


def _module(kind: str, name: str, module: str) -> object:
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except Exception as error:  # a module may be anybody's
        raise BadOption(
            f"{kind} {name!r}: the module {module!r} cannot be imported: "
            f"{type(error).__name__}: {error}. It must be installed or in the current folder"
        ) from error
    finally:
        if added:
            sys.path.remove(here)

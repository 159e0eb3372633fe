"""Imports that happen on first use, and imports of optional packages."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from srl_env.errors import MissingExtra


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__``, which import names on first use.

    homes: {module below the package, or full name of one elsewhere: names}. A missing extra then
    matters only when a name that needs it is used.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = home_of[name]
        whole = home if home.startswith("srl_") else f"{package}.{home}"
        value = getattr(importlib.import_module(whole), name)
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of})

    return load, listed


@contextmanager
def optional_import(extra: str, *packages: str, alone: bool = False) -> Iterator[None]:
    """Imports inside the block raise MissingExtra if one of these packages is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        raise MissingExtra(package, extra, alone) from None

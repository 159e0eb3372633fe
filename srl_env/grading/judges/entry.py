"""How a judge enters the workspace: from here on, its code can be imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any


def enter(request: dict[str, Any]) -> None:
    """Goes to the workspace and puts its folders at the end of the path.

    What the repository itself provides (``request["own"]``, names of modules) is imported from it
    and from nowhere else. A module of that name may be in memory already, such as pytest's
    packaging or pluggy. Those who imported it keep it; later imports find the repository's.
    """
    os.chdir(request["workspace"])
    sys.pycache_prefix = "/tmp/no-cache"  # compiled files of the workspace are not looked at
    sys.path.extend(request["python_path"])
    own = frozenset(request["own"])
    for name in list(sys.modules):
        if name.partition(".")[0] in own:
            del sys.modules[name]
    sys.meta_path.insert(0, OwnModules(own, request["python_path"]))


class OwnModules:
    """Finds the repository's own modules in its own folders, before anything installed."""

    def __init__(self, names: Iterable[str], folders: list[str]) -> None:
        self._names, self._folders = frozenset(names), folders

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, self._folders) if name in self._names else None

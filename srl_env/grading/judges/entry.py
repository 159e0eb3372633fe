"""How a judge enters the workspace: from here on, its code can be imported."""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from typing import Any


def enter(request: dict[str, Any]) -> None:
    """Goes to the workspace and puts its folders at the end of the path.

    What the repository itself provides (``request["own"]``, names of modules) is imported from it
    and from nowhere else. A module of that name may be in memory already, such as pytest's
    packaging or pluggy. Those who imported it keep it; later imports find the repository's.
    Compiled files of the workspace are not looked at; those of installed packages are.
    """
    os.chdir(request["workspace"])
    sys.pycache_prefix = "/tmp/no-cache"
    inside = request["workspace"]
    installed = [path for path in request["python_path"] if not f"{path}/".startswith(f"{inside}/")]
    finder = InstalledModules([*installed, *request.get("packages", ())])
    sys.meta_path.insert(sys.meta_path.index(PathFinder), finder)
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


class InstalledModules:
    """Finds modules in folders of installed packages, which no code under test can write."""

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = tuple(f"{folder}/" for folder in folders)

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader:
            return None
        if spec.origin is None or not spec.origin.startswith(self._folders):
            return None
        spec.loader = CompiledLoader(name, spec.origin)
        return spec


class CompiledLoader(SourceFileLoader):
    """Takes the compiled file beside a module where it fits, although there is a prefix."""

    def get_code(self, fullname: str) -> Any:
        folder, name = os.path.split(self.path)
        tag = sys.implementation.cache_tag
        try:
            with open(f"{folder}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc", "rb") as file:
                data = file.read()
            if data[:4] == MAGIC_NUMBER and data[4:16] in self._fitting(data):
                return marshal.loads(data[16:])
        except (OSError, EOFError, ValueError, TypeError):
            pass
        return super().get_code(fullname)

    def _fitting(self, data: bytes) -> tuple[bytes, bytes]:
        """The heads of a file that fits the source by its time and size, or that always fits."""
        status = os.stat(self.path)
        numbers = (0, int(status.st_mtime), status.st_size)
        by_time = b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in numbers)
        return by_time, b"\1\0\0\0" + data[8:16]

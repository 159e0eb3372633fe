"""Installed packages that a repository needs, as mounts of a sandbox.

A session sees only Python's standard library. Other packages are mounted from the running Python's
installation. They are named by distribution ("numpy"), so that a folder of tasks says what must be
installed where it is used.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from srl_env.errors import BadOption
from srl_env.sandbox import Mount

_SYSTEM: Final = ("/usr/lib/", "/usr/lib64/")  # every session sees it
_NO_PACKAGE: Final = ("..", "bin", "__pycache__", "share", "etc")


@functools.cache
def package_mounts(distributions: tuple[str, ...]) -> tuple[Mount, ...]:
    """The installed files of these distributions and of all that they require.

    Raises BadOption for one that is not installed.
    """
    paths = {
        path
        for name in required_distributions(distributions)
        for path in _entries(metadata.distribution(name))
        if path.exists() and not str(path).startswith(_SYSTEM)
    }
    return tuple(map(Mount, sorted(paths)))


def package_folders(mounts: Iterable[Mount]) -> tuple[str, ...]:
    """The folders from which a session imports mounted packages, for PYTHONPATH."""
    return tuple(sorted({mount.import_folder for mount in mounts}))


def distributions_of(modules: Iterable[str]) -> tuple[str, ...]:
    """The installed distributions of top-level modules; unknown modules have none."""
    names = (_homes().get(module, []) for module in set(modules) - sys.stdlib_module_names)
    return tuple(sorted({_normalized(found[0]) for found in names if found}))


def required_distributions(names: Iterable[str]) -> tuple[str, ...]:
    """The distributions and all that they require, as far as it is installed.

    Raises BadOption for one of `names` that is not installed.
    """
    found: set[str] = set()
    pending = [(_normalized(name), True) for name in names]
    while pending:
        name, must_exist = pending.pop()
        if name in found:
            continue
        try:
            requires = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            if not must_exist:
                continue
            raise BadOption(
                f"the repository needs the package {name}, which is not installed. "
                f"Fix: pip install {name}"
            ) from None
        found.add(name)
        pending += [(needed, False) for needed in _needed(requires)]
    return tuple(sorted(found))


def _needed(requirements: Iterable[str]) -> Iterator[str]:
    from packaging.requirements import InvalidRequirement, Requirement  # pytest brings it

    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _normalized(requirement.name)


def _entries(distribution: metadata.Distribution) -> Iterator[Path]:
    """The top-level files and folders that a distribution installed."""
    tops = {file.parts[0] for file in distribution.files or () if file.parts}
    for top in tops:
        if top not in _NO_PACKAGE and not top.endswith((".pth", ".pyc")):
            yield Path(str(distribution.locate_file(top)))
    for module, names in _homes().items():  # editable installs, or without a list of files
        if distribution.name in names and module not in {top.removesuffix(".py") for top in tops}:
            spec = importlib.util.find_spec(module)
            if spec is not None and spec.origin is not None and spec.submodule_search_locations:
                yield Path(spec.origin).parent
            elif spec is not None and spec.origin not in (None, "built-in", "frozen"):
                yield Path(str(spec.origin))


@functools.cache
def _homes() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _normalized(name: str) -> str:
    return name.lower().replace("_", "-")

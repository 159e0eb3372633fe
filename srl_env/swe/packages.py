"""Installed packages that a repository needs, as mounts of a sandbox.

A session sees Python's standard library and nothing that is installed beside it. What a
repository imports from other people is shown to it from the running Python's own installation,
named by distribution ("numpy"), so that a data set says what must be installed where it is used.
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


def package_mounts(distributions: Iterable[str]) -> tuple[Mount, ...]:
    """What shows these distributions, and all they require, where they are installed.

    Raises BadOption for one that is not installed.
    """
    return _package_mounts(tuple(distributions))


@functools.cache
def _package_mounts(distributions: tuple[str, ...]) -> tuple[Mount, ...]:
    found: dict[Path, None] = {}
    for name in required_distributions(distributions):
        for path in _entries(metadata.distribution(name)):
            if path.exists() and not str(path).startswith(_SYSTEM):
                found[path] = None
    return tuple(Mount(path) for path in sorted(found))


def package_folders(mounts: Iterable[Mount]) -> tuple[str, ...]:
    """Where mounted packages are imported from, as a session sees it; for PYTHONPATH."""
    targets = (Path(mount.target or mount.source.absolute()) for mount in mounts)
    return tuple(sorted({str(target.parent) for target in targets}))


def distributions_of(modules: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which distributions top-level modules belong to, and the modules that are not installed.

    Modules of the standard library belong to none.
    """
    found, missing = set(), []
    for module in sorted(set(modules) - sys.stdlib_module_names):
        names = _homes().get(module, [])
        if names:
            found.add(_plain(names[0]))
        elif importlib.util.find_spec(module) is None:
            missing.append(module)
    return tuple(sorted(found)), tuple(missing)


def required_distributions(names: Iterable[str]) -> tuple[str, ...]:
    """The distributions and, with them, all that they require here.

    Raises BadOption for one of `names` that is not installed; what an installed one requires and
    is not there is its own affair.
    """
    found: dict[str, None] = {}
    pending = [(_plain(name), True) for name in names]
    while pending:
        name, named = pending.pop()
        if name in found:
            continue
        try:
            requires = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            if not named:
                continue
            raise BadOption(
                f"the repository needs the package {name}, which is not installed here; "
                f"install it with: pip install {name}"
            ) from None
        found[name] = None
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
            yield _plain(requirement.name)


def _entries(distribution: metadata.Distribution) -> Iterator[Path]:
    """The files and folders at the top of what a distribution installed."""
    tops = {file.parts[0] for file in distribution.files or () if file.parts}
    for top in tops:
        if top not in _NO_PACKAGE and not top.endswith((".pth", ".pyc")):
            yield Path(str(distribution.locate_file(top)))
    for module, names in _homes().items():  # installed in place, or with no list of its files
        if distribution.name in names and module not in {top.removesuffix(".py") for top in tops}:
            spec = importlib.util.find_spec(module)
            if spec is not None and spec.origin is not None and spec.submodule_search_locations:
                yield Path(spec.origin).parent
            elif spec is not None and spec.origin not in (None, "built-in", "frozen"):
                yield Path(str(spec.origin))


@functools.cache
def _homes() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")

"""A session in which one can work on a repository: its packages and pytest are importable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from srl_env.grading.runs import pytest_mounts
from srl_env.sandbox import Limits, Sandbox, Session
from srl_env.swe.packages import package_folders, package_mounts
from srl_env.swe.task import Repository

_FULL: Final = "/workspace"


def start_workspace(
    sandbox: Sandbox,
    tree: Path,
    repository: Repository,
    limits: Limits = Limits(),  # noqa: B008  frozen
) -> Session:
    """A session on a tree, in which ``python`` and ``python -m pytest`` work from any folder.

    Raises BadOption where a package that the repository needs is not installed, SandboxFailure.
    """
    mounts = (*pytest_mounts(), *package_mounts(repository.packages))
    folders = [*_roots(sandbox, repository), *package_folders(mounts)]
    return sandbox.start(tree, limits=limits, mounts=mounts, env=_environment(folders))


def _roots(sandbox: Sandbox, repository: Repository) -> list[str]:
    folder = _FULL if sandbox.isolation == "full" else "."
    return [folder if path == "." else f"{folder}/{path}" for path in repository.python_path]


def _environment(folders: list[str]) -> Mapping[str, str]:
    return {
        "PYTHONPATH": ":".join(folders),
        "PYTHONHASHSEED": "0",
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }

"""The session that policies and experts work in: a task's tree, with Python and pytest."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from srl_env.grading.runs import importable, pytest_mounts
from srl_env.sandbox import Sandbox, Session
from srl_env.swe.packages import package_folders
from srl_env.swe.task import Repository

# The tree may belong to another user than commands run as. Nothing else of the machine is read.
_GIT: Final = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}


def open_workspace(sandbox: Sandbox, tree: Path, repository: Repository) -> Session:
    """A session on a tree in which pytest runs and the repository can be imported.

    pytest and the packages that the repository needs come from this installation.
    Raises SandboxFailure, and BadOption for a package that is not installed.
    """
    mounts = (*pytest_mounts(), *repository.mounts)
    root = "/workspace" if sandbox.name == "namespaces" else "."
    roots = [root if path == "." else f"{root}/{path}" for path in repository.python_path]
    env = {
        "PYTHONPATH": ":".join([*roots, *package_folders(mounts)]),
        "PYTHONHASHSEED": "0",
        "PYTEST_ADDOPTS": "-p no:cacheprovider --color=no",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PAGER": "cat",
        **_GIT,
        "TERM": "dumb",
    }
    return sandbox.start(tree, mounts=importable(mounts, sandbox), env=env)

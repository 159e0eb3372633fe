"""A copy of a user's repository, and the probes that run in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from srl_env.grading import GradingTask, warm_judges
from srl_env.grading.task import own_modules
from srl_env.sandbox import CommandResult, Limits, Mount, Preload, Sandbox
from srl_env.swe.packages import package_folders
from srl_env.swe.task import Repository
from srl_env.swe.task_folder import files_written

NO_FILES: Final[Mapping[str, str]] = {}
_PROBES: Final = Path(__file__).resolve().parent / "probes"
_JUDGES: Final = Path(__file__).resolve().parents[2] / "grading" / "judges"
_FOLDER: Final = "/probing"
_PROBING: Final = (Mount(_PROBES, f"{_FOLDER}/probes"), Mount(_JUDGES, f"{_FOLDER}/judges"))
# Reports of a whole suite are longer than what a policy's command may print.
_LIMITS: Final = Limits(output_keep_bytes=48 << 20, output_kill_bytes=64 << 20)


@dataclass(frozen=True)
class Checkout:
    """A repository's folder and how its tests are run.

    repository: what is known of it so far. test_files: files with tests. timeout_s: the time limit
    of a run of all tests. foreign: the modules that its files import and that it does not have.
    """

    tree: Path
    repository: Repository
    test_files: tuple[str, ...]
    timeout_s: float = 120.0
    foreign: tuple[str, ...] = ()

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """The packages that it imports."""
        return self.repository.mounts

    def grading_task(self, **fields: Any) -> GradingTask:
        """A grading task on this folder; fields: its other fields."""
        return GradingTask(
            tree=self.tree,
            python_path=self.repository.python_path,
            mounts=self.mounts,
            conftest=self.repository.conftest,
            **fields,
        )


def warm_probes() -> Preload:
    """What a builder's sandbox may preload: the judges and the probes."""
    judges = warm_judges()
    modules = (*judges.modules, "probes.suite", "probes.script")
    return Preload((*judges.folders, _PROBES.parent), modules)


def run_probe(
    sandbox: Sandbox,
    checkout: Checkout,
    name: str,
    request: Mapping[str, Any],
    *,
    files: Mapping[str, str],
    timeout_s: float,
    hash_seed: int | None = None,
    packages: Sequence[Mount] = (),
) -> CommandResult:
    """Runs a module of the folder ``probes`` in a session on a checkout. Raises SandboxFailure.

    files: path → text, written over the tree. hash_seed: of a fresh interpreter; None for the
    preloaded one. packages: those that come first on the path, such as pytest.
    """
    roots = checkout.repository.python_path
    with sandbox.start(
        checkout.tree, limits=_LIMITS, mounts=(*packages, *checkout.mounts, *_PROBING)
    ) as session:
        session.apply(files_written(files))
        folder, module = session.workspace, f"probes.{name}"
        asked = {
            **request,
            "workspace": folder,
            "python_path": [
                *(f"{folder}/{path}".removesuffix("/.") for path in roots),
                *package_folders(checkout.mounts),
            ],
            "own": sorted(own_modules(checkout.tree, roots)),
            "changed": [f"{folder}/{path}" for path in files],
            "packages": list(package_folders(packages)),
        }
        stdin, env = json.dumps(asked).encode(), {"PYTHONHASHSEED": str(hash_seed or 0)}
        fresh = hash_seed is not None
        if not fresh and module in session.preloaded:
            return session.call(module, stdin=stdin, timeout_s=timeout_s, env=env, report=True)
        code = f"import sys; sys.path.insert(0, {_FOLDER!r}); import {module}; {module}.main()"
        command = ["python3", "-P", "-s", "-S", "-B", "-c", code]
        return session.run(command, stdin=stdin, timeout_s=timeout_s, env=env, report=True)

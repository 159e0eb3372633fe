"""The import direction of the three packages, and what importing them costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "srl_env": {"srl_tasks", "srl_agents", "torch", "transformers"},
    "envs/srl_tasks": {"srl_agents", "torch", "transformers"},
    "agents/srl_agents": {"srl_tasks"},
}


def imported_packages(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every top-level package imported anywhere below a folder, with the file that does it."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                yield path, name.partition(".")[0]


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_packages_import_only_in_their_direction(folder: str) -> None:
    found = [
        (path.relative_to(ROOT).as_posix(), name)
        for path, name in imported_packages(ROOT / folder)
        if name in FORBIDDEN[folder]
    ]
    assert found == []


def test_the_folders_of_the_packages_are_no_packages_themselves() -> None:
    assert not (ROOT / "envs/__init__.py").exists()
    assert not (ROOT / "agents/__init__.py").exists()


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_srl_env_loads_no_environment_and_no_heavy_package() -> None:
    loaded = modules_after("import srl_env, gymnasium; assert 'srl/GSM8K-v0' in gymnasium.registry")
    assert "srl_tasks.recorded.gsm8k" not in loaded
    assert loaded.isdisjoint({"torch", "transformers", "datasets", "math_verify", "pydantic"})


def test_the_command_line_starts_without_torch() -> None:
    assert modules_after("import srl_agents.cli").isdisjoint({"torch", "transformers"})

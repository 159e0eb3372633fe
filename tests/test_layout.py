"""The structure of the three packages: what may import what, and what importing them costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sitegen import structure

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "srl_env": {"srl_tasks", "srl_agents", "torch", "transformers"},
    "envs/srl_tasks": {"srl_agents", "torch", "transformers"},
    "agents/srl_agents": {"srl_tasks"},
}
MOST_MODULES = 25  # in one folder

# {folder or file right below the package: what it may import of the others}
ALLOWED = {
    "srl_env": {
        "errors": "",
        "hub": "",
        "lazy": "errors",
        "named": "errors",
        "seeding": "",
        "time_limit": "",
        "seconds": "errors",
        "problem": "errors",
        "conditions": "episode errors problem seeding",
        "text": "errors named problem",
        "policy": "errors text",
        "verifiers": "errors policy problem seconds text",
        "rewards": "errors named problem text verifiers",
        "episode": "errors problem rewards text time_limit verifiers",
        "environment": "conditions episode errors problem rewards seconds seeding text verifiers",
        "batch": "environment episode errors seeding text",
        "rollout": "batch environment episode errors policy rewards seeding text verifiers",
        "registration": "batch environment errors",
        "data": "errors hub lazy named problem rewards text verifiers",
        "check": "environment episode errors problem registration rewards"
        " seconds seeding text time_limit verifiers",
        "testing": "check data environment errors policy problem registration text verifiers",
        "sandbox": "errors seconds text",
        "grading": "errors sandbox seconds text verifiers",
        "swe": "data errors grading lazy policy problem rewards sandbox seconds seeding text"
        " verifiers",
    },
    "srl_tasks": {
        "generated": "",
        "recorded": "",
        "swe": "",
        "adapters": "generated",
    },
    "srl_agents": {
        "checked": "",
        "models": "",
        "parallel": "",
        "objectives": "checked",
        "methods": "checked objectives",
        "nn": "parallel",
        "runs": "checked methods models objectives",
        "policies": "methods models nn objectives parallel runs",
        "collection": "methods models objectives parallel policies runs",
        "evaluation": "policies runs",
        "expert_data": "evaluation policies runs",
        "integrations": "policies",
        "serving": "",
        "view": "evaluation runs",
        "training": "collection evaluation methods models nn objectives parallel policies runs",
        "comparison": "evaluation methods models policies runs training",
        "cli": "collection comparison evaluation expert_data integrations methods models parallel"
        " policies runs serving training view",
        "__main__": "cli",
    },
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


@pytest.mark.parametrize("package", ALLOWED)
def test_parts_of_a_package_import_only_what_the_table_allows(package: str) -> None:
    allowed = {part: set(names.split()) for part, names in ALLOWED[package].items()}
    imports = structure.part_imports(package)
    assert set(imports) == set(allowed), "a new folder or file needs its line in the table"
    forbidden = {part: sorted(to - allowed[part]) for part, to in imports.items()}
    assert {part: names for part, names in forbidden.items() if names} == {}


@pytest.mark.parametrize("package", ALLOWED)
def test_there_is_no_circle_of_imports(package: str) -> None:
    assert structure.circle(structure.module_imports(package)) == []
    table = {part: frozenset(names.split()) for part, names in ALLOWED[package].items()}
    assert structure.circle(table) == []


@pytest.mark.parametrize("package", ALLOWED)
def test_no_folder_holds_more_modules_than_a_reader_can_take_in(package: str) -> None:
    sizes = structure.folder_sizes(package)
    assert {folder: size for folder, size in sizes.items() if size > MOST_MODULES} == {}


def test_the_folders_of_the_packages_are_no_packages_themselves() -> None:
    assert not (ROOT / "envs/__init__.py").exists()
    assert not (ROOT / "agents/__init__.py").exists()


def test_pages_and_examples_import_from_the_packages_and_one_level_below() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.py")]
    pages += (ROOT / "agents/srl_agents").rglob("*.tmpl")
    deep = re.compile(r"^\s*(?:from|import) (srl_(?:env|tasks|agents)\.\w+\.[\w.]+)", re.MULTILINE)
    found = {page: deep.findall(page.read_text(encoding="utf-8")) for page in pages}
    assert {name: modules for name, modules in found.items() if modules} == {}


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


def test_the_public_names_are_there_without_torch_until_they_are_used() -> None:
    names = "train, evaluate, compare, TransformersPolicy"
    loaded = modules_after(f"from srl_agents import {names}\nassert all(map(callable, ({names})))")
    assert loaded.isdisjoint({"torch", "transformers"})


@pytest.mark.parametrize(
    "package", ["srl_env", "srl_env.data", "srl_env.swe", "srl_agents.methods"]
)
def test_every_public_name_is_there_and_unknown_ones_are_told(package: str) -> None:
    module = __import__(package, fromlist=["__all__"])
    assert all(getattr(module, name) is not None for name in module.__all__)
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing

"""The structure of the three packages, from their imports: ``python -m sitegen.structure``.

Each package has a row for each folder, or file next to the folders: its number of modules, its
level (1 imports none of the others), and its imports. Then come the largest folder, the levels, the
arrows, and a circle of modules if there is one. All imports count, also those inside functions and
for type checkers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "srl_env": ROOT / "srl_env",
    "srl_tasks": ROOT / "envs/srl_tasks",
    "srl_agents": ROOT / "agents/srl_agents",
}
_NOT_OURS = ROOT / "envs/srl_tasks/swe/shipped"

Imports = Mapping[str, frozenset[str]]
"""{name: the names that it imports}."""


@cache
def modules(package: str) -> dict[str, Path]:
    """{dotted name: file} of the modules of a package; a package is the module of its name."""
    folder = PACKAGES[package]
    files = (f for f in sorted(folder.rglob("*.py")) if not f.is_relative_to(_NOT_OURS))
    return {_dotted(package, file.relative_to(folder)): file for file in files}


def _dotted(package: str, file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])


@cache
def module_imports(package: str) -> Imports:
    """What each module of a package imports from the package itself."""
    known = modules(package)
    return {name: frozenset(_imported(name, file, known)) - {name} for name, file in known.items()}


def _imported(name: str, file: Path, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(name, file, node)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                if whole in known or base in known:
                    yield whole if whole in known else base


def _absolute(name: str, file: Path, node: ast.ImportFrom) -> str:
    """The dotted name behind ``from``, which may be a relative one."""
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    parts = parts[: len(parts) - node.level + (file.name == "__init__.py")]
    return ".".join([*parts, *([node.module] if node.module else [])])


def part(module: str) -> str:
    """The folder or file directly below the package that a module is in; "" for the package."""
    return module.partition(".")[2].partition(".")[0]


def part_imports(package: str) -> Imports:
    """What each part of a package imports of the others; the package itself is not a part."""
    found: dict[str, set[str]] = {part(m): set() for m in modules(package) if part(m)}
    for module, imported in module_imports(package).items():
        if part(module):
            found[part(module)] |= {part(m) for m in imported}
    return {name: frozenset(to - {name, ""}) for name, to in found.items()}


def circle(imports: Imports) -> list[str]:
    """The names of a circle of imports, the first again at the end; [] if there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def levels(imports: Imports) -> dict[str, int]:
    """{name: 1 if it imports none of the others, else one more than the highest of them}."""
    found: dict[str, int] = {}
    for name in TopologicalSorter(imports).static_order():
        found[name] = 1 + max((found[other] for other in imports.get(name, ())), default=0)
    return found


def folder_sizes(package: str) -> dict[str, int]:
    """{folder: number of modules directly in it}."""
    sizes: dict[str, int] = {}
    for file in modules(package).values():
        folder = file.parent.relative_to(ROOT).as_posix()
        sizes[folder] = sizes.get(folder, 0) + 1
    return sizes


def _describe(package: str) -> Iterator[str]:
    imports = part_imports(package)
    found = circle(imports)
    level = {} if found else levels(imports)
    sizes = folder_sizes(package)
    inside = [part(m) for m in modules(package)]
    yield f"{package}: {len(inside)} modules"
    for name in sorted(imports, key=lambda n: (level.get(n, 0), n)):
        to = ", ".join(sorted(imports[name])) or "–"
        yield f"  {level.get(name, '?'):>2}  {name:14} {inside.count(name):3}  → {to}"
    largest = max(sizes, key=lambda folder: sizes[folder])
    yield f"  largest folder: {largest}, {sizes[largest]} modules"
    arrows = sum(map(len, imports.values()))
    yield f"  {len(imports)} parts, {max(level.values(), default=0)} levels, {arrows} arrows"
    yield f"  circle of parts: {' → '.join(found) or 'none'}"
    yield f"  circle of modules: {' → '.join(circle(module_imports(package))) or 'none'}"


if __name__ == "__main__":
    print("\n".join(line for package in PACKAGES for line in _describe(package)))

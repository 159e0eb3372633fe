"""What there is in a repository: packages, tests, how they are run, and which can be relied on.

Everything of the repository's runs in the sandbox, with pytest from this interpreter and the
packages that are installed for it. pytest's settings and plug-ins of the repository are not used,
as grading uses none; tests that need them fail here, and are left out.
"""

from __future__ import annotations

import ast
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final

from srl_env.errors import BadData, BadOption
from srl_env.sandbox import Sandbox
from srl_env.swe.builder.checkout import Checkout
from srl_env.swe.builder.source import Function, Source
from srl_env.swe.builder.suite import SuiteRun, run_suite
from srl_env.swe.packages import distributions_of, package_mounts
from srl_env.swe.task import CASES_FILE, Repository
from srl_env.swe.workspace import open_workspace

REPEATS: Final = 3
MAX_SUITE_S: Final = 20.0
_LEFT_OUT: Final = frozenset(
    {"__pycache__", "node_modules", "build", "dist", "site-packages", "venv", "env", CASES_FILE}
)
_TEST_FOLDERS: Final = frozenset({"test", "tests", "testing"})
_NO_SOURCES: Final = frozenset({"docs", "doc", "examples", "benchmarks", "scripts", "tools"})


@dataclass(frozen=True)
class Target:
    """A function that tests run: where bugs can be put. tests: the ids of those that run it."""

    path: str
    function: Function
    tests: tuple[str, ...]

    @property
    def id(self) -> str:
        """Its file and name."""
        return f"{self.path}:{self.function.name}"


@dataclass(frozen=True)
class Project:
    """A repository that tasks can be made from.

    tests: ids of tests that always pass; left_out: the other ones, and why.
    sources: files that bugs can be put in. calls: what its tests call, as recorded.
    parameters: of parametrised tests, as source text. suite_s: what one run of all tests takes;
    seconds: each of them. visible_files: test files in which everything passes under pytest as a
    user runs it, with the repository's own settings.
    """

    name: str
    checkout: Checkout
    tests: tuple[str, ...]
    left_out: Mapping[str, str]
    sources: Mapping[str, Source]
    targets: tuple[Target, ...]
    suite_s: float
    seconds: Mapping[str, float] = field(repr=False)
    visible_files: tuple[str, ...]
    calls: Sequence[Mapping[str, str]] = field(default=(), repr=False)
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)


def copy_repository(path: Path, target: Path) -> None:
    """Copies a repository without version control, caches, environments and what is built.

    The copy can be written to, whatever may be done with the original.
    Raises BadOption for a path that is no folder.
    """
    if not path.exists():
        raise BadOption(f"{path} is not there; a folder with a Python project is expected")
    if not path.is_dir():
        raise BadOption(
            f"{path} is no folder; give a checkout, or unpack the archive and give its folder"
        )

    def left_out(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if _is_left_out(Path(folder) / name)}

    shutil.copytree(path, target, ignore=left_out, dirs_exist_ok=True)
    for copied in (target, *target.rglob("*")):
        copied.chmod(copied.stat().st_mode | stat.S_IWUSR)


def inspect_project(
    tree: Path,
    name: str,
    sandbox: Sandbox,
    *,
    timeout_s: float = 120.0,
    tell: Callable[[str], None] = lambda _: None,
) -> Project:
    """What tasks can be made from, found by running its tests several times.

    tree: a folder as `copy_repository` makes it. tell: is told what is being done.
    Raises BadOption, with what to do, where there is no Python, no test, or none that passes.
    """
    checkout = find_checkout(tree, timeout_s)
    tell("running the tests")
    first = run_suite(sandbox, checkout, trace=True, calls=True)
    _require_passing(first, checkout)
    checkout = replace(checkout, timeout_s=min(timeout_s, 5.0 + 10 * first.wall_s))
    left_out = dict(_left_out(first))
    stable, slow = _fast_enough(first, MAX_SUITE_S)
    left_out |= slow
    for number in range(1, REPEATS):
        tell(f"running the tests in another order ({number} of {REPEATS - 1})")
        again = run_suite(sandbox, checkout, tests=stable, order=number, hash_seed=number)
        gone = [test for test in stable if test not in again.passed]
        left_out |= dict.fromkeys(gone, "does not always pass: it depends on order, hashes or time")
        stable = [test for test in stable if test in again.passed]
    if not stable:
        raise BadOption(f"{name}: no test passes every time, in any order:\n{_names(left_out)}")
    sources = _sources(checkout)
    targets = tuple(_targets(sources, first, stable))
    if not targets:
        raise BadOption(
            f"{name}: its tests run none of its own functions, so that no bug would be noticed; "
            f"looked for in: {', '.join(sources) or 'no files beside tests'}"
        )
    return Project(
        name=name,
        checkout=checkout,
        tests=tuple(stable),
        left_out=left_out,
        sources=sources,
        targets=targets,
        suite_s=first.wall_s,
        seconds={test: first.outcomes[test].seconds for test in stable},
        visible_files=_visible_files(sandbox, checkout),
        calls=first.calls,
        parameters=first.parameters,
    )


def find_checkout(tree: Path, timeout_s: float = 120.0) -> Checkout:
    """How a repository's tests can be run, from its files alone. Raises BadOption."""
    files = sorted(_python_files(tree))
    if not files:
        raise BadOption(f"{tree.name}: there is no Python file in it")
    tests = tuple(path for path in files if is_test_file(path))
    if not tests:
        raise BadOption(
            f"{tree.name}: there are no tests in it; files named test_*.py or *_test.py are "
            "expected"
        )
    imported = _imports(tree, files)
    folders = dict.fromkeys(str(PurePosixPath(path).parent) for path in tests)
    candidates = ["src", "lib", "python", ".", *(folder for folder in folders if folder != ".")]
    found = {module: _root_of(tree, module, candidates) for module in sorted(imported)}
    used = [root for root in candidates if root in found.values()]
    foreign = [module for module, root in found.items() if root is None]
    distributions = tuple(name for name in distributions_of(foreign) if name != "pytest")
    return Checkout(
        tree=tree,
        python_path=tuple(used) or (".",),
        test_files=tests,
        conftest=any(PurePosixPath(path).name == "conftest.py" for path in files),
        distributions=distributions,
        mounts=package_mounts(distributions),
        timeout_s=timeout_s,
    )


def is_test_file(path: str) -> bool:
    """Whether pytest would look for tests in a file of this name."""
    name = PurePosixPath(path).name
    return (name.startswith("test_") and name.endswith(".py")) or name.endswith("_test.py")


def _visible_files(sandbox: Sandbox, checkout: Checkout) -> tuple[str, ...]:
    """The test files that pass when a user runs them."""
    repository = Repository("", python_path=checkout.python_path, packages=checkout.distributions)
    with open_workspace(sandbox, checkout.tree, repository) as session:
        command = ["python3", "-m", "pytest", "-qq"]
        if session.run([*command, *checkout.test_files], timeout_s=checkout.timeout_s).ok:
            return checkout.test_files
        return tuple(path for path in checkout.test_files if session.run([*command, path]).ok)


def _is_left_out(path: Path) -> bool:
    name = path.name
    if name in _LEFT_OUT or name.endswith((".egg-info", ".pyc", ".so")):
        return name not in ("build", "dist", "env", "venv") or _is_made(path)
    if path.is_symlink():
        return True
    return (name.startswith(".") and path.is_dir()) or (path / "pyvenv.cfg").exists()


def _is_made(path: Path) -> bool:
    """Whether a folder called build, dist, env or venv is one, and no package of that name."""
    return path.is_dir() and not (path / "__init__.py").exists()


def _python_files(tree: Path) -> Iterator[str]:
    for folder, names, files in os.walk(tree):
        names[:] = sorted(name for name in names if not _is_left_out(Path(folder) / name))
        for name in files:
            if name.endswith(".py"):
                yield (Path(folder) / name).relative_to(tree).as_posix()


def _imports(tree: Path, files: Iterable[str]) -> set[str]:
    """Top-level names of the modules that files import, without the standard library's."""
    found: set[str] = set()
    for path in files:
        try:
            nodes = ast.walk(ast.parse((tree / path).read_bytes()))
        except (SyntaxError, ValueError, RecursionError):
            continue  # where a test needs it, the tests will say so
        for node in nodes:
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names


def _root_of(tree: Path, module: str, candidates: Sequence[str]) -> str | None:
    for root in candidates:
        folder = tree / root / module
        if (tree / root / f"{module}.py").is_file() or any(folder.glob("*.py")):
            return root
        if folder.is_dir() and any(folder.glob("*/*.py")) and not (tree / module).is_dir():
            return root
    return None


def _require_passing(run: SuiteRun, checkout: Checkout) -> None:
    """Raises BadOption where nothing can be built on a first run."""
    name = checkout.tree.name
    if run.ended == "timeout":
        raise BadOption(
            f"{name}: its tests were not through after {checkout.timeout_s:g} s; give them more "
            "with --test-timeout, or leave the slow ones out of the folder"
        )
    if run.ended != "exited":
        raise BadOption(f"{name}: the test run was ended ({run.ended}):\n{run.output[-2000:]}")
    if run.passed:
        return
    if run.broken:
        file, text = next(iter(run.broken.items()))
        raise BadOption(
            f"{name}: {file} cannot be imported, and no test passes:\n"
            f"{_reason(text)}{_advice(text)}"
        )
    if not run.outcomes:
        raise BadOption(f"{name}: pytest finds no test in {', '.join(checkout.test_files[:5])}")
    raise BadOption(
        f"{name}: none of its {len(run.outcomes)} tests passes in the sandbox (no network, pytest "
        f"without plug-ins); mend them first. The end of what pytest said:\n{run.output[-2000:]}"
    )


def _reason(text: str) -> str:
    """The lines of a failure that say what went wrong."""
    lines = [line for line in text.splitlines() if line.startswith("E ")]
    return "\n".join(lines[-5:]) or text[-1000:]


def _advice(text: str) -> str:
    if "ModuleNotFoundError" in text or "ImportError" in text:
        return (
            "\nInstall what it needs beside srl-env (pip install …); the sandbox shows packages of "
            f"{sys.prefix}"
        )
    return ""


def _fast_enough(run: SuiteRun, limit_s: float) -> tuple[list[str], dict[str, str]]:
    """The tests that pass, without the slowest where all together would take too long."""
    spent, slow = 0.0, {}
    for test in sorted(run.passed, key=lambda test: run.outcomes[test].seconds):
        spent += run.outcomes[test].seconds
        if spent > limit_s:
            slow[test] = f"slow: all tests together may take {limit_s:g} s when a task is graded"
    return [test for test in run.outcomes if test in run.passed and test not in slow], slow


def _left_out(run: SuiteRun) -> Iterator[tuple[str, str]]:
    for file, text in run.broken.items():
        yield file, f"cannot be imported: {_reason(text)}"
    for test, outcome in run.outcomes.items():
        if outcome.skipped:
            yield test, "skipped, or passes although it is expected to fail"
        elif not outcome.passed:
            yield test, f"fails: {_reason(outcome.text)}"


def _names(left_out: Mapping[str, str]) -> str:
    return "\n".join(f"  {test}: {why}" for test, why in list(left_out.items())[:10])


def _sources(checkout: Checkout) -> dict[str, Source]:
    found = {}
    for path in _python_files(checkout.tree):
        if not _is_source(path):
            continue
        try:
            found[path] = Source((checkout.tree / path).read_bytes().decode(), path)
        except (BadData, UnicodeDecodeError):
            continue
    return found


def _is_source(path: str) -> bool:
    parts = PurePosixPath(path)
    if is_test_file(path) or parts.name in ("conftest.py", "setup.py", "noxfile.py"):
        return False
    return not _TEST_FOLDERS & set(parts.parts[:-1]) and parts.parts[0] not in _NO_SOURCES


def _targets(
    sources: Mapping[str, Source], run: SuiteRun, tests: Sequence[str]
) -> Iterator[Target]:
    ran: dict[tuple[str, str], dict[str, None]] = {}
    functions: dict[tuple[str, str], Function] = {}
    for test in tests:
        for place in run.functions.get(test, ()):
            path, _, line = place.rpartition(":")
            function = sources[path].function_at(int(line)) if path in sources else None
            if function is not None:
                key = (path, function.name)
                functions[key] = function
                ran.setdefault(key, {})[test] = None
    for key in sorted(ran):
        yield Target(key[0], functions[key], tuple(ran[key]))

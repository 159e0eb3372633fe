"""What a repository offers: packages, tests, how they run, and which of them are reliable.

All of the repository's code runs in the sandbox, with pytest from this interpreter and the packages
that are installed for it. The repository's own pytest settings and plug-ins are not used, as in
grading. Tests that need them fail here and are excluded.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Final

from srl_env.errors import BadData, BadOption
from srl_env.sandbox import Sandbox
from srl_env.swe.builder.checkout import Checkout
from srl_env.swe.builder.source import Function, Source
from srl_env.swe.builder.suite import SuiteRun, run_suite
from srl_env.swe.packages import distributions_of
from srl_env.swe.task import Repository
from srl_env.swe.task_folder import code_files, copy_code
from srl_env.swe.workspace import open_workspace

REPEATS: Final = 3
MAX_SUITE_S: Final = 20.0
_ROOTS: Final = ("src", "lib", "python", ".")
_TEST_MODULES: Final = frozenset({"test.py", "tests.py"})
_TEST_FOLDERS: Final = frozenset({"test", "tests", "testing"})
_NO_SOURCES: Final = frozenset({"docs", "doc", "examples", "benchmarks", "scripts", "tools"})


@dataclass(frozen=True)
class Target:
    """A function that tests run: a place for bugs. tests: the ids of those that run it."""

    path: str
    function: Function
    tests: tuple[str, ...]

    @property
    def id(self) -> str:
        """Its file and name."""
        return f"{self.path}:{self.function.name}"

    @property
    def place(self) -> tuple[str, int, int]:
        """Its file, first and last line."""
        return self.path, self.function.first, self.function.last


@dataclass(frozen=True)
class Project:
    """A repository that tasks can be made from.

    excluded: tests that do not always pass, and why. sources: files for bugs. targets: functions
    for bugs. suite_s: seconds of a run of all tests; seconds: of each test.
    visible_files: test files that pass under pytest with the repository's own settings.
    calls: what its tests call, as recorded. parameters: of parametrised tests, as source text.
    """

    name: str
    checkout: Checkout
    excluded: Mapping[str, str]
    sources: Mapping[str, Source]
    targets: tuple[Target, ...]
    suite_s: float
    seconds: Mapping[str, float] = field(repr=False)
    visible_files: tuple[str, ...]
    calls: Sequence[Mapping[str, str]] = field(default=(), repr=False)
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    @property
    def tests(self) -> tuple[str, ...]:
        """The ids of the tests that always pass."""
        return self.checkout.repository.tests


def copy_repository(path: Path, target: Path) -> None:
    """Copies a repository's files (``code_files``). Raises BadOption where there is no folder."""
    if not path.exists():
        raise BadOption(f"{path} does not exist. Fix: name a folder with a Python project")
    if not path.is_dir():
        raise BadOption(f"{path} is no folder. Fix: unpack an archive, and name its folder")
    copy_code(path, target)


def inspect_project(
    tree: Path,
    name: str,
    sandbox: Sandbox,
    *,
    timeout_s: float = 120.0,
    on_step: Callable[[str], None] = lambda _: None,
) -> Project:
    """Finds what tasks can be made from, by several runs of the tests.

    tree: a folder that `copy_repository` made. on_step: called with what is being done.
    Raises BadOption where there is no Python, no test, or none that passes.
    """
    checkout = find_checkout(tree, timeout_s)
    on_step("running the tests")
    first = run_suite(sandbox, checkout, trace=True)
    _require_passing(first, checkout)
    checkout = replace(checkout, timeout_s=min(timeout_s, 5.0 + 10 * first.wall_s))
    stable, slow = _fast_enough(first, MAX_SUITE_S)
    excluded = {**dict(_failures(first)), **slow}
    for number in range(1, REPEATS):
        on_step(f"running the tests in another order ({number} of {REPEATS - 1})")
        again = run_suite(sandbox, checkout, tests=stable, order=number, hash_seed=number)
        gone = [test for test in stable if test not in again.passed]
        excluded |= dict.fromkeys(gone, "does not always pass: it depends on order, hashes or time")
        stable = [test for test in stable if test in again.passed]
    if not stable:
        names = "\n".join(f"  {test}: {why}" for test, why in list(excluded.items())[:10])
        raise BadOption(f"{name}: no test passes every time, in any order:\n{names}")
    sources = sources_of(tree)
    targets = tuple(_targets(sources, first, stable))
    if not targets:
        unread = [
            path for path in filter(is_source_file, _python_files(tree)) if path not in sources
        ]
        version = ".".join(map(str, sys.version_info[:2]))
        more = f"; Python {version} cannot read: {', '.join(unread)}" if unread else ""
        raise BadOption(
            f"{name}: its tests run none of its own functions, so that no bug would be noticed; "
            f"looked for in: {', '.join(sources) or 'no files beside tests'}{more}"
        )
    return Project(
        name=name,
        checkout=replace(checkout, repository=replace(checkout.repository, tests=tuple(stable))),
        excluded=excluded,
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
    files = list(_python_files(tree))
    if not files:
        raise BadOption(f"{tree.name}: there is no Python file in it")
    tests = tuple(path for path in files if is_test_file(path))
    if not tests:
        raise BadOption(
            f"{tree.name}: there are no tests in it; their files must be named test_*.py, "
            "*_test.py, test.py or tests.py"
        )
    folders = dict.fromkeys(str(PurePosixPath(path).parent) for path in tests)
    found = {
        module: _root_of(tree, module, _ROOTS)
        or _folder_of_package(files, module)
        or _root_of(tree, module, [folder for folder in folders if folder != "."])
        for module in _imports(tree, files)
    }
    order = dict.fromkeys([*_ROOTS, *filter(None, found.values()), *folders])
    roots = tuple(root for root in order if root in found.values())
    foreign = tuple(module for module, root in found.items() if root is None)
    repository = Repository(
        tree.name,
        python_path=roots or (".",),
        packages=tuple(name for name in distributions_of(foreign) if name != "pytest"),
        conftest=any(PurePosixPath(path).name == "conftest.py" for path in files),
    )
    return Checkout(tree, repository, tests, timeout_s, foreign)


def is_test_file(path: str) -> bool:
    """Whether a file of this name holds tests: as pytest looks for them, or as test.py."""
    name = PurePosixPath(path).name
    return fnmatch(name, "test_*.py") or name.endswith("_test.py") or name in _TEST_MODULES


def _python_files(tree: Path) -> Iterator[str]:
    return (path.as_posix() for path in sorted(code_files(tree)) if path.suffix == ".py")


def _visible_files(sandbox: Sandbox, checkout: Checkout) -> tuple[str, ...]:
    """The test files that pass when a user runs them."""
    with open_workspace(sandbox, checkout.tree, checkout.repository) as session:
        command = ["python3", "-m", "pytest", "-qq"]
        if session.run([*command, *checkout.test_files], timeout_s=checkout.timeout_s).ok:
            return checkout.test_files
        return tuple(path for path in checkout.test_files if session.run([*command, path]).ok)


def _imports(tree: Path, files: Iterable[str]) -> list[str]:
    """The top-level modules that files import, sorted, without the standard library's."""
    found: set[str] = set()
    for path in files:
        try:
            nodes = ast.walk(ast.parse((tree / path).read_bytes()))
        except (SyntaxError, ValueError, RecursionError):
            continue  # where a test needs it, the test fails
        for node in nodes:
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return sorted(found - sys.stdlib_module_names)


def _root_of(tree: Path, module: str, candidates: Sequence[str]) -> str | None:
    """The first folder that a module of the repository can be imported from."""
    for root in candidates:
        folder = tree / root / module
        if (tree / root / f"{module}.py").is_file() or any(folder.glob("*.py")):
            return root
        if folder.is_dir() and any(folder.glob("*/*.py")) and not (tree / module).is_dir():
            return root
    return None


def _folder_of_package(files: Sequence[str], module: str) -> str | None:
    """The top-level folder right below which a package lies; None where there is none."""
    for path in files:
        top, *rest = PurePosixPath(path).parts
        if rest == [module, "__init__.py"] and top not in _NO_SOURCES | _TEST_FOLDERS:
            return top
    return None


def _require_passing(run: SuiteRun, checkout: Checkout) -> None:
    """Raises BadOption for a first run in which no test passes."""
    end = run.output[-2000:]
    if run.ended == "timeout":
        problem = (
            f"its tests did not end within {checkout.timeout_s:g} s. Fix: give them more with "
            "--test-timeout-s, or remove the slow ones"
        )
    elif run.ended != "exited":
        problem = f"the test run was ended ({run.ended}):\n{end}"
    elif run.passed:
        return
    elif run.broken:
        file, text = next(iter(run.broken.items()))
        problem = f"{file} cannot be imported, and no test passes:\n{_reason(text)}"
        if "ModuleNotFoundError" in text or "ImportError" in text:
            problem += f"\nFix: install what it needs into {sys.prefix} (pip install …)"
            if (checkout.tree / ".gitmodules").exists():
                problem += ", and fill its submodules (git submodule update --init)"
    elif not run.outcomes:
        problem = f"pytest finds no test in {', '.join(checkout.test_files[:5])}:\n{end}"
    else:
        problem = (
            f"none of its {len(run.outcomes)} tests passes in the sandbox (no network, pytest "
            f"without plug-ins). Fix the tests first. The end of pytest's output:\n{end}"
        )
    raise BadOption(f"{checkout.tree.name}: {problem}")


def _reason(text: str) -> str:
    """The lines of a failure that say what is wrong."""
    lines = [line for line in text.splitlines() if line.startswith("E ")]
    return "\n".join(lines[-5:]) or text[-1000:]


def _fast_enough(run: SuiteRun, limit_s: float) -> tuple[list[str], dict[str, str]]:
    """The tests that pass, without the slowest where all together would take too long."""
    spent, slow = 0.0, {}
    for test in sorted(run.passed, key=lambda test: run.outcomes[test].seconds):
        spent += run.outcomes[test].seconds
        if spent > limit_s:
            slow[test] = f"slow: all tests together may take {limit_s:g} s when a task is graded"
    return [test for test in run.outcomes if test in run.passed and test not in slow], slow


def _failures(run: SuiteRun) -> Iterator[tuple[str, str]]:
    for file, text in run.broken.items():
        yield file, f"cannot be imported: {_reason(text)}"
    for test, outcome in run.outcomes.items():
        if outcome.skipped:
            yield test, "skipped, or passes although it is expected to fail"
        elif not outcome.passed:
            yield test, f"fails: {_reason(outcome.text)}"


def sources_of(tree: Path) -> dict[str, Source]:
    """The source files that can be read, by path."""
    found = {}
    for path in filter(is_source_file, _python_files(tree)):
        try:
            found[path] = Source((tree / path).read_bytes().decode(), path)
        except (BadData, UnicodeDecodeError):
            continue
    return found


def is_source_file(path: str) -> bool:
    """Whether a Python file belongs to the project itself: no test, example or script."""
    parts = PurePosixPath(path)
    if is_test_file(path) or parts.name in ("conftest.py", "setup.py", "noxfile.py"):
        return False
    return not _TEST_FOLDERS & set(parts.parts[:-1]) and parts.parts[0] not in _NO_SOURCES


def _targets(
    sources: Mapping[str, Source], run: SuiteRun, tests: Sequence[str]
) -> Iterator[Target]:
    """The functions that the tests run, sorted."""
    found: dict[tuple[str, str], tuple[Function, dict[str, None]]] = {}
    for test in tests:
        for place in run.functions.get(test, ()):
            path, _, line = place.rpartition(":")
            function = sources[path].function_at(int(line)) if path in sources else None
            if function is not None:
                found.setdefault((path, function.name), (function, {}))[1][test] = None
    for (path, _), (function, ran_by) in sorted(found.items(), key=lambda item: item[0]):
        yield Target(path, function, tuple(ran_by))

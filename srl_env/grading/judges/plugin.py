"""What all runs of pytest share: which plug-ins are loaded, and the outcome of each test."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from .entry import enter

# Plug-ins that only cost time here. The cache would carry over from earlier runs.
_NOT_NEEDED = (
    *("cacheprovider", "faulthandler", "freeze_support", "junitxml", "pastebin", "setuponly"),
    *("setupplan", "stepwise", "threadexception", "unraisableexception"),
)


def read_request() -> dict[str, Any]:
    """The request on standard input. Afterwards pytest is in memory, from its own folders."""
    request: dict[str, Any] = json.load(sys.stdin.buffer)
    sys.dont_write_bytecode = True
    sys.path[:0] = request["packages"]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    import pytest  # noqa: F401

    return request


def run_pytest(request: dict[str, Any], options: list[str], plugin: Outcomes) -> int:
    """Enters the workspace, runs the files' tests, and returns pytest's exit status.

    Settings of the workspace are ignored, and no plug-in that a change touches is loaded.
    """
    import pytest

    enter(request)
    _guard_plugins(request)
    _guard_unittest()
    options = [*_pytest_options(request["workspace"], request["conftest"]), *options]
    return int(pytest.main([*options, *request["files"]], plugins=[plugin]))


def _pytest_options(workspace: str, conftest: bool) -> list[str]:
    options = ["-c", os.devnull, "--rootdir", workspace, "--import-mode=importlib"]
    options += ["-q", "--tb=short", "--capture=sys"]
    options += [part for name in _NOT_NEEDED for part in ("-p", f"no:{name}")]
    options += ["--confcutdir", workspace]
    if conftest:
        return options
    return [*options, "--noconftest", "-p", "no:doctest"]  # its fixture is for conftest files


def _guard_plugins(request: dict[str, Any]) -> None:
    """Makes pytest refuse plug-ins that a change could control.

    A test module may name only pytest's own plug-ins, because it may have imported the name
    ``pytest_plugins`` from the code under test with a star. A conftest file or a plug-in of the
    tree may name others, but none in a changed file.
    """
    from _pytest.config import PytestPluginManager, builtin_plugins

    load, consider = PytestPluginManager.import_plugin, PytestPluginManager.consider_module

    def import_plugin(self: Any, modname: str, consider_entry_points: bool = False) -> None:
        if _touched(modname, request["python_path"], request["changed"]):
            raise ImportError(f"the plug-in {modname!r} was changed, or one of its packages was")
        load(self, modname, consider_entry_points)

    def consider_module(self: Any, mod: Any) -> None:
        if self.is_registered(mod):
            consider(self, mod)
            return
        named = getattr(mod, "pytest_plugins", ())
        for name in [named] if isinstance(named, str) else list(named or ()):
            if type(name) is not str or name not in builtin_plugins:
                raise ImportError(f"a test module may name pytest's own plug-ins; not {name!r}")
            self.import_plugin(name)

    PytestPluginManager.import_plugin = import_plugin  # type: ignore[method-assign]
    PytestPluginManager.consider_module = consider_module  # type: ignore[method-assign]


def _guard_unittest() -> None:
    """Makes unittest count its own stop signal as a failure where code under test raises it.

    Without this, unittest counts such a test or subtest as passed.
    """
    from unittest import case

    outcome: Any = case._Outcome  # type: ignore[attr-defined]
    execute, signal = outcome.testPartExecutor, case._ShouldStop  # type: ignore[attr-defined]

    @contextlib.contextmanager
    def guarded(self: Any, *given: Any, **named: Any) -> Iterator[None]:
        with execute(self, *given, **named):
            try:
                yield
            except signal:
                if self.expecting_failure:
                    raise
                raise AssertionError("the test was ended from within") from None

    outcome.testPartExecutor = guarded


def _touched(module: str, folders: list[str], changed: list[str]) -> bool:
    """Whether a module, or a package above it, is one of the changed files."""
    parts = module.split(".")
    stems = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    files = {
        os.path.normpath(f"{folder}/{stem}{end}")
        for folder in folders
        for stem in stems
        for end in (".py", "/__init__.py")
    }
    return not files.isdisjoint(map(os.path.normpath, changed))


class Outcomes:
    """A pytest plug-in that reports the outcome of each phase of a test.

    It treats folders as plain folders, so pytest runs no ``__init__.py`` as a part of the tests.
    """

    def __init__(self) -> None:
        self._expected: set[str] = set()
        self._spoilt: dict[str, str] = {}

    def pytest_collect_directory(self, path: Any, parent: Any) -> Any:
        import pytest

        return pytest.Dir.from_parent(parent, path=path)

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        """Notes where the test's own mark expects its failure."""
        import pytest

        said = call.excinfo is not None and isinstance(call.excinfo.value, pytest.xfail.Exception)
        if not said or _announced(item, call.when):
            self._expected.add(item.nodeid)
        else:
            self._expected.discard(item.nodeid)

    def outcome(self, report: Any) -> str | None:
        """ "passed", "failed", "skipped", "xfailed" or "xpassed"; None for a subtest.

        A subtest counts with its test: where the phase itself passed, it gets the subtest's
        outcome. "xfailed" is an expected failure by a mark, or by unittest's decorator. A call of
        ``pytest.xfail()`` counts as a skip, because code under test can make it.
        """
        outcome: str = report.outcome
        if hasattr(report, "wasxfail"):
            expected = report.nodeid in self._expected
            outcome = "xpassed" if report.passed else "xfailed" if expected else "skipped"
        if hasattr(report, "context"):  # only subtests have one
            if outcome != "passed" and self._spoilt.get(report.nodeid) != "failed":
                self._spoilt[report.nodeid] = outcome
            return None
        spoilt = self._spoilt.pop(report.nodeid, "passed")
        return spoilt if outcome == "passed" else outcome


def _announced(item: Any, phase: str) -> bool:
    """Whether ``pytest.xfail()`` was called by unittest's decorator or by a mark with run=False."""
    owners = (getattr(item, "obj", None), getattr(item, "cls", None))
    if any(getattr(owner, "__unittest_expecting_failure__", False) for owner in owners):
        return True
    marks = item.iter_markers("xfail")
    return phase == "setup" and any(mark.kwargs.get("run", True) is False for mark in marks)

"""A pytest plug-in: every check of ``srl_env.check`` as a test of its own.

In ``conftest.py``::

    pytest_plugins = ["srl_env.testing.plugin"]

and in a test file::

    @pytest.mark.srl_env("my_tasks/Sums-v0", split="test")
    def test_sums(env_check):
        env_check()

This makes one test for each check, ``test_sums[nothing leaks]`` and so on. A failing test says what
was seen, what was expected, where, and what to do. The marker takes an id, a file, an environment,
a
class or a function that makes one. Then come its arguments, ``problems=``, ``hostile=`` and
``seconds=``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from srl_env.check import CHECKS, Checker
from srl_env.environment import ReasoningEnv
from srl_env.registration.ids import make

MARKER = "srl_env"
FIXTURE = "env_check"
_OF_THE_CHECKER = set(inspect.signature(Checker).parameters) - {"env", "arguments"}


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line(
        "markers", f"{MARKER}(env, **arguments): the environment that {FIXTURE} checks"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each check."""
    if FIXTURE in metafunc.fixturenames:
        metafunc.parametrize(FIXTURE, list(CHECKS), indirect=True, ids=list(CHECKS))


@pytest.fixture
def env_check(request: pytest.FixtureRequest) -> Callable[[], None]:
    """A function that makes the check, and fails or skips the test."""
    marker = request.node.get_closest_marker(MARKER)
    if marker is None or len(marker.args) != 1:
        pytest.fail(
            f"{FIXTURE} needs @pytest.mark.{MARKER}(ENV), with an id, a file, a class or a "
            "function that makes an environment",
            pytrace=False,
        )
    checker = _checker(marker.args[0], marker.kwargs)

    def check() -> None:
        result = checker.run(request.param)
        if not result.passed:
            pytest.fail(f"{checker.title}\n{result}", pytrace=False)
        if result.skipped:
            pytest.skip("; ".join(result.notes))

    return check


def _checker(env: Any, arguments: dict[str, Any]) -> Checker:
    settings = {name: arguments[name] for name in arguments if name in _OF_THE_CHECKER}
    rest = {name: value for name, value in arguments.items() if name not in _OF_THE_CHECKER}
    if isinstance(env, ReasoningEnv):
        return Checker(env, **settings)
    if callable(env):
        return Checker(env(**rest), **settings)
    return Checker(make(env, **rest) if rest else env, **settings)

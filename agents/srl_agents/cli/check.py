"""What ``srl-env check`` does: every check of every environment that a name stands for."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.markup import escape

import srl_env
from srl_agents.cli.console import output, print_check
from srl_env.check import CHECKS, Checker
from srl_env.environment import ReasoningEnv
from srl_env.registration.locate import environments_in


def check_all(name: str, arguments: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Checks and writes what is found; whether every check passed.

    name: an id, a file, or a folder, whose environments are all checked. settings: of ``Checker``.
    """
    passed = [_check(checker) for checker in _checkers(name, arguments, settings)]
    return all(passed)


def _checkers(
    name: str, arguments: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[Checker]:
    if not Path(name).is_dir():
        yield Checker(name, **settings, **arguments)
        return
    for spec in environments_in(Path(name)).values():
        given = arguments or getattr(spec.entry_point, "offline_kwargs", {})
        env: Any = srl_env.make(spec, **given)
        assert isinstance(env.unwrapped, ReasoningEnv), "environments_in gives no others"
        yield Checker(env, **settings)


@contextmanager
def _ended_after(limit_s: float | None) -> Iterator[None]:
    """Ends this process, with the lines it is at, where C code goes on that no alarm reaches."""
    if limit_s is not None:
        faulthandler.dump_traceback_later(limit_s, exit=True, file=2)
    try:
        yield
    finally:
        if limit_s is not None:
            faulthandler.cancel_dump_traceback_later()


def _check(checker: Checker) -> bool:
    output.print(f"[bold]{escape(checker.title)}[/]", highlight=False, soft_wrap=True)
    results = []
    for name in CHECKS:
        with _ended_after(checker.limit_s(name)):
            results.append(checker.run(name))
        print_check(results[-1])
    failed = sum(not result.passed for result in results)
    skipped = sum(result.skipped for result in results)
    said = f"{failed} failed" if failed else "all passed"
    output.print(f"{len(results)} checks, {said}{f', {skipped} skipped' if skipped else ''}\n")
    return not failed

"""``srl-env check``: every check of every environment that a name stands for."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

import srl_env
from srl_agents.cli.console import output
from srl_agents.cli.options import Kwargs, json_object
from srl_env.registration.names import environments_in

if TYPE_CHECKING:
    from srl_env.check import Checker, CheckResult

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env check srl/ModularChain-v0[/]\n\n"
    """[bold]srl-env check srl/ModularChain-v0 --kwargs '{"difficulty": 9}'[/]\n\n"""
    "[bold]srl-env check steps:problems.jsonl[/]  or my_env.py, my_env.py:Class, my_package/"
)
def check(
    env_id: Annotated[
        str, typer.Argument(metavar="ID|PATH", help="Environment id, file, or package folder.")
    ],
    kwargs: Kwargs = "{}",
    problems: Annotated[int, typer.Option(min=1, help="Number of problems to try.")] = 3,
    hostile: Annotated[int, typer.Option(min=0, help="Number of hostile texts to try.")] = 10_000,
    seconds: Annotated[float, typer.Option(help="Time for each check with such texts.")] = 20.0,
) -> None:
    """Check that an environment keeps every promise of the library; exit code 1 if not."""
    settings = {"problems": problems, "hostile": hostile, "seconds": seconds}
    passed = [_check(checker) for checker in _checkers(env_id, json_object(kwargs), settings)]
    if not all(passed):
        raise typer.Exit(1)


def _checkers(
    name: str, arguments: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[Checker]:
    """A checker for an id or a file; one for each environment of a folder."""
    from srl_env.check import Checker
    from srl_env.environment import ReasoningEnv

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
    """Ends this process with a stack trace if C code runs on that no alarm interrupts."""
    if limit_s is not None:
        faulthandler.dump_traceback_later(limit_s, exit=True, file=2)
    try:
        yield
    finally:
        if limit_s is not None:
            faulthandler.cancel_dump_traceback_later()


def _check(checker: Checker) -> bool:
    from srl_env.check import CHECKS

    output.print(f"[bold]{escape(checker.title)}[/]", highlight=False, soft_wrap=True)
    results = []
    for name in CHECKS:
        with _ended_after(checker.limit_s(name)):
            results.append(checker.run(name))
        _print(results[-1])
    failed = sum(not result.passed for result in results)
    skipped = sum(result.skipped for result in results)
    verdict = f"{failed} failed" if failed else "all passed"
    verdict += f", {skipped} skipped" if skipped else ""
    output.print(f"{len(results)} checks, {verdict}\n")
    return not failed


def _print(result: CheckResult) -> None:
    """Prints one check, with its notes and findings."""
    style = {"ok": "green", "skip": "yellow", "FAIL": "bold red"}[result.mark]
    notes = f" [dim]({escape('; '.join(result.notes))})[/]" if result.notes else ""
    output.print(f"[{style}]{result.mark:4}[/] {result.name}{notes}", highlight=False)
    for finding in result.findings:
        text = str(finding).replace("\n", "\n     ")
        output.print(f"     {escape(text)}", highlight=False, soft_wrap=True)

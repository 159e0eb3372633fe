"""``srl-env serve``: an environment offered over the network."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from srl_agents.cli.console import errors, printed_log
from srl_agents.cli.options import Kwargs, json_object, options_of
from srl_agents.serving.limits import Limits

app = typer.Typer()

TOKEN_ENV = "SRL_ENV_TOKEN"


@app.command(
    epilog="[bold]srl-env serve srl/SWE-v0[/]  on http://127.0.0.1:8000: /ws for OpenEnv, /mcp for"
    " MCP\n\n"
    "[bold]srl-env serve srl/SWE-v0 --mode production --log episodes.jsonl[/]  tools for agents\n\n"
    "[bold]srl-env eval -m expert -e openenv:http://localhost:8000[/]  the other side",
)
@options_of(Limits)
def serve(
    env_id: Annotated[
        str, typer.Argument(metavar="ID|PATH", help="Environment id, file, or package folder.")
    ],
    kwargs: Kwargs = "{}",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.")] = 8000,
    token_env: Annotated[
        str,
        typer.Option(help="Environment variable with the token; needed beyond this machine."),
    ] = TOKEN_ENV,
    mode: Annotated[
        str,
        typer.Option(
            metavar="simulation|production",
            help="OpenEnv's mode: everything, or only the tools over MCP.",
        ),
    ] = "simulation",
    log: Annotated[
        Path | None, typer.Option(help="File for finished episodes, for `srl-env view`.")
    ] = None,
    **limits: Any,
) -> None:
    """Offer an environment over the network: OpenEnv's protocol, and its tools over MCP."""
    from srl_agents.serving.server import Served, serve

    served = Served(
        env_id,
        json_object(kwargs),
        host=host,
        port=port,
        token=os.environ.get(token_env) or None,
        mode=mode,  # type: ignore[arg-type]  # checked there
        log=log,
        limits=Limits(**limits),
    )

    def report(line: str) -> None:
        errors.print(line, markup=False, highlight=False, soft_wrap=True)

    with printed_log("", logging.WARNING):
        left = serve(served, report)
    if left:
        report(f"{left} environments did not stop in time")
        sys.stdout.flush()
        os._exit(1)  # their threads would keep the process

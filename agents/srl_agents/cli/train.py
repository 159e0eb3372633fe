"""``srl-env train``: a language model trained by a method made of stages."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.console import errors, training_bar
from srl_agents.cli.folders import fresh_folder, how_to_go_on
from srl_agents.cli.options import Env, Kwargs, Overrides, json_object, with_flags
from srl_env.errors import BadOption

if TYPE_CHECKING:
    from srl_agents.cli.options import Flags
    from srl_agents.runs.config import RunConfig

app = typer.Typer()


def train_command(
    file: Path | None, flags: Flags, overrides: Sequence[str], resume: Path | None, dry_run: bool
) -> None:
    """Trains, or goes on training, or says what would hold."""
    from srl_agents.runs.config import make_config
    from srl_agents.runs.history import run_folder
    from srl_agents.runs.input_checks import check_inputs
    from srl_agents.runs.settings import read_tree, with_overrides

    if resume is not None and file is not None:
        raise BadOption(f"--resume reads the run's own configuration; leave {file} out")
    if resume is not None and (run := run_folder(resume)) not in (None, resume):
        raise BadOption(f"{resume} is a part of a run; go on with the run: --resume {run}")
    source = file if resume is None else resume / "config.json"
    tree = with_flags(read_tree(source) if source else {}, flags)
    tree = with_overrides(tree, overrides)
    if resume is not None:
        tree["out"] = str(resume)
    config = make_config({"out": "", **tree})
    if not config.out and "RANK" in os.environ:
        raise BadOption("give --out: the processes of a launcher have to agree on the folder")
    if not config.out:
        name = f"{config.method if isinstance(config.method, str) else 'stages'}"
        config = config.model_copy(update={"out": str(fresh_folder(name))})
    if dry_run:
        if resume is None:
            check_inputs(config)
        typer.echo(json.dumps(resolved(config), indent=2))
        return
    _train(config, resume is not None)


def resolved(config: RunConfig) -> dict[str, Any]:
    """The configuration with its method written out stage by stage, fit to be read again."""
    stages = [asdict(stage) for stage in config.resolved_method.stages]
    return config.model_dump(mode="json") | {"method": stages, "train": {}, "stages": {}}


def _train(config: RunConfig, resume: bool) -> None:
    if os.environ.get("RANK", "0") != "0":
        _train_along(config, resume)
        return
    errors.print(f"Run folder: {config.out}", highlight=False)
    from srl_agents.training.log import read_log
    from srl_agents.training.run import train

    out = Path(config.out)
    saved = out / "checkpoints"
    anothers = saved.exists() and not resume
    again = ["srl-env", "train", "--resume", str(out)]
    with how_to_go_on(again, None if anothers else saved):
        with training_bar(out.name) as bar:
            result = train(config, resume=resume, on_progress=bar)
        if not result.finished:
            raise KeyboardInterrupt
    _leave_team()
    for stage, why in result.stages:
        typer.echo(f"Stage {stage} ended after {why}")
    for warning in result.warnings:
        typer.echo(f"Warning: {warning}")
    spent = result.usage
    typer.echo(f"{spent.updates} updates, {spent.seconds:.0f} s of training, {spent.tokens} tokens")
    typer.echo(f"Model: {result.model}\nEvaluate it: srl-env eval -m {config.out}")
    updates = [row for row in read_log(out / "metrics.jsonl") if "event" not in row]
    typer.echo(config.resolved_method.summary(updates))


def _train_along(config: RunConfig, resume: bool) -> None:
    """The part of a process that a launcher started beside the main one; it says nothing."""
    from srl_agents.training.run import train

    if not train(config, resume=resume).finished:
        raise KeyboardInterrupt
    _leave_team()


def _leave_team() -> None:
    from srl_agents.parallel.team import leave

    leave()


@app.command(
    epilog="Methods: sft, rlvr, srl, holistic, sft-rlvr, srl-rlvr.\n\n"
    "[bold]srl-env train -e srl/ModularChain-v0 -m runs/base/model --method srl-rlvr"
    " --seconds 120[/]\n\n"
    "[bold]srl-env train --config run.toml --set train.lr=3e-4"
    " --set stages.srl.objective.temperature=1.2[/]\n\n"
    "[bold]srl-env train --config run.toml --dry-run[/]  prints everything that would hold\n\n"
    "[bold]srl-env train --resume runs/first[/]  goes on after Ctrl-C, a crash, or a kill"
)
def train(
    file: Annotated[Path | None, typer.Argument(help="TOML or JSON file of a run.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The same, as an option.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Method, e.g. srl-rlvr.")] = None,
    env: Env = None,
    kwargs: Kwargs = "{}",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Folder or hub name of the model.")
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="The run's folder; a new one under runs/.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Budget in seconds of training.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    overrides: Overrides = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder of a run to go on with.", metavar="RUN")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the whole configuration and stop.")
    ] = False,
) -> None:
    """Trains a language model in an environment, by a method made of stages."""

    given: dict[str, Any] = {"method": method, "env.id": env, "model.path": model, "out": out}
    given["env.options"] = json_object(kwargs) or None
    flags = given | {"budget.seconds": seconds, "seed": seed}
    if file is not None and config is not None:
        raise BadOption(f"{file} and --config {config} are two configurations; give one")
    train_command(file or config, flags, overrides or [], resume, dry_run)

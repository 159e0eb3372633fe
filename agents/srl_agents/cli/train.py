"""``srl-env train``: a language model trained by a method made of stages."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.console import errors, printed_log, training_bar
from srl_agents.cli.folders import fresh_folder, resume_hint
from srl_agents.cli.options import Env, Kwargs, Overrides, json_object, with_flags
from srl_agents.methods import methods
from srl_env.errors import BadOption, SrlEnvError

if TYPE_CHECKING:
    from srl_agents.runs.config import RunConfig
    from srl_agents.training.preview import Preview
    from srl_agents.training.progress import TrainResult

app = typer.Typer()


@app.command(
    epilog=f"Methods: {', '.join(methods())}.\n\n"
    "[bold]srl-env train -e srl/ModularChain-v0 -m runs/base/model --method srl-rlvr"
    " --seconds 120[/]\n\n"
    "[bold]srl-env train --config run.toml --set train.lr=3e-4"
    " --set stages.srl.objective.temperature=1.2[/]\n\n"
    "[bold]srl-env train --config run.toml --dry-run[/]  prints the whole configuration\n\n"
    "[bold]srl-env train --resume runs/first[/]  continues after Ctrl-C, a crash, or a kill"
)
def train(
    file: Annotated[Path | None, typer.Argument(help="TOML or JSON file of a run.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The same file, as an option.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Method, e.g. srl-rlvr.")] = None,
    env: Env = None,
    kwargs: Kwargs = "{}",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Folder of a model or a run, or hub name.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Folder to write. By default a new one under runs/."),
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Budget in seconds of training.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    overrides: Overrides = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder of a run to continue.", metavar="RUN")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the whole configuration and stop.")
    ] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(help="Name on the hub to upload the model to, with a card.", metavar="REPO"),
    ] = None,
    sample: Annotated[
        bool,
        typer.Option("--sample", help="With --dry-run: load the model and show what it writes."),
    ] = False,
) -> None:
    """Train a language model in an environment, by a method made of stages."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its warnings carry stack traces
    from srl_agents.models.publish import check_can_publish
    from srl_agents.runs.config import make_config
    from srl_agents.runs.input_checks import check_inputs
    from srl_agents.runs.settings import read_tree, with_overrides

    if file is not None and config is not None:
        raise BadOption(f"give one configuration; got {file} and --config {config}")
    source = _source(file or config, resume)
    given: dict[str, Any] = {"method": method, "env.id": env, "model.path": model, "out": out}
    given |= {"env.options": json_object(kwargs) or None, "budget.seconds": seconds, "seed": seed}
    tree = with_overrides(with_flags(read_tree(source) if source else {}, given), overrides or [])
    if resume is not None:
        tree["out"] = str(resume)
    run = make_config({"out": "", **tree})
    if not run.out and "RANK" in os.environ:
        raise BadOption("give --out: the processes of a launcher must agree on the folder")
    if not run.out:
        name = run.method if isinstance(run.method, str) else "stages"
        run = run.model_copy(update={"out": str(fresh_folder(name))})
    if dry_run:
        if resume is None:
            check_inputs(run)
        if sample:
            _sample(run)
        else:
            typer.echo(json.dumps(_resolved(run), indent=2))
        return
    if sample:
        raise BadOption("--sample needs --dry-run; a training shows its samples before it begins")
    if push_to_hub is not None:
        check_can_publish(push_to_hub)
    _train(run, resume is not None, push_to_hub)


def _source(file: Path | None, resume: Path | None) -> Path | None:
    """The configuration file: the given one, or that of the run to continue."""
    from srl_agents.runs.history import run_folder

    if resume is None:
        return file
    if file is not None:
        raise BadOption(f"--resume uses the run's own configuration; leave {file} out")
    if (run := run_folder(resume)) not in (None, resume):
        raise BadOption(f"{resume} is a part of a run. Fix: --resume {run}")
    if not (resume / "config.json").is_file():
        raise BadOption(
            f"--resume must be the folder of a run; got {resume}, which holds no config.json. Fix:"
            " give a folder that srl-env train wrote"
        )
    return resume / "config.json"


def _resolved(config: RunConfig) -> dict[str, Any]:
    """The configuration with its method written out stage by stage; it can be read again."""
    stages = [asdict(stage) for stage in config.resolved_method.stages]
    return config.model_dump(mode="json") | {"method": stages, "train": {}, "stages": {}}


def _train(config: RunConfig, resume: bool, push_to_hub: str | None) -> None:
    from srl_agents.parallel.team import launched, leave
    from srl_agents.training.run import train

    out, team = Path(config.out), launched()
    saved = out / "checkpoints"
    other_run = saved.exists() and not resume
    alone = ["srl-env", "train"]
    start = (
        alone if team.size == 1 else ["accelerate", "launch", "...", "-m", "srl_agents", "train"]
    )
    with resume_hint([*start, "--resume", str(out)], None if other_run else saved), _one_voice():
        if not team.main:  # prints nothing else
            result = train(config, resume=resume)
        else:
            errors.print(f"Run folder: {config.out}", highlight=False)
            with printed_log("srl_agents.training.trainer"), training_bar(out.name) as bar:
                result = train(config, resume=resume, on_progress=bar, on_preview=show_preview)
        leave()
        if team.main and not result.finished:
            raise KeyboardInterrupt
    if not team.main:
        return
    _show(result, config)
    if push_to_hub is not None:
        _publish(out, push_to_hub)


@contextmanager
def _one_voice() -> Iterator[None]:
    """If several processes of a launcher end, only the first reports why."""
    from srl_agents.parallel.team import first_to_end

    try:
        yield
    except (SrlEnvError, OSError, KeyboardInterrupt):
        if first_to_end():
            raise
        raise typer.Exit(1) from None


def _publish(out: Path, repo: str) -> None:
    """Uploads a finished run's model with its card."""
    from srl_agents.models.publish import publish
    from srl_agents.training.card import CARD

    try:
        address = publish(out / "model", (out / CARD).read_text(encoding="utf-8"), repo)
    except BadOption as error:
        again = f"srl-env train --resume {out} --push-to-hub {repo}"
        raise BadOption(f"{error}. The model is in {out / 'model'}. Fix: {again}") from error
    typer.echo(f"Uploaded: {address}")


def _sample(config: RunConfig) -> None:
    from srl_agents.training.run import sample

    with errors.status("Sampling …"):
        found = sample(config)
    if found is None:
        raise BadOption("no stage of this method samples; --sample has nothing to show")
    show_preview(found)


def show_preview(preview: Preview) -> None:
    """Prints samples, their numbers, and what to change."""
    numbers = preview.metrics
    errors.print(f"[bold]Stage {preview.stage}, before the first update[/]")
    for prompt, completion, reward in preview.samples:
        errors.print(_short(prompt), style="dim", markup=False, highlight=False)
        errors.print(f"  → {_short(completion)}", markup=False, highlight=False)
        errors.print(f"  reward {reward:.2f}", highlight=False)
    parts = [
        f"{preview.informative} of {preview.groups} groups can be trained on",
        f"format kept {numbers.get('format_fraction', 0):.0%}",
        f"truncated {numbers.get('truncated_fraction', 0):.0%}",
        f"std of rewards {numbers.get('groups/std', 0):.2g}",
        f"about {float(f'{preview.seconds_per_update:.2g}'):,g} s an update",
        f"peak memory {preview.peak_memory_bytes / 2**30:.1f} GiB",
    ]
    errors.print(" · ".join(parts), highlight=False)
    for advice in preview.advice:
        errors.print(f"Warning: {advice}", style="yellow", markup=False, highlight=False)


def _short(text: str, most: int = 300) -> str:
    """The end of a text in one paragraph."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"… {text[-most:]}"


def _show(result: TrainResult, config: RunConfig) -> None:
    from srl_agents.training.log import read_log

    for stage, reason in result.stages:
        typer.echo(f"Stage {stage} ended after {reason}")
    for warning in result.warnings:
        typer.echo(f"Warning: {warning}")
    usage = result.usage
    made = f"{usage.updates} update{'s' * (usage.updates != 1)}"
    typer.echo(f"{made}, {usage.seconds:.0f} s of training, {usage.tokens} tokens")
    typer.echo(f"Model: {result.model}\nEvaluate it: srl-env eval -m {config.out}")
    if result.best is not None:
        typer.echo(f"Best model during training: {result.best}")
    rows = read_log(Path(config.out) / "metrics.jsonl")
    updates = [row for row in rows if "event" not in row]
    typer.echo(config.resolved_method.summary(updates))

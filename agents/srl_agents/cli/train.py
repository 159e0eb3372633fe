"""What the longer commands of ``srl-env`` do, once their options are read."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer

import srl_env
from srl_agents.cli.console import (
    TrainingBar,
    comparison_bars,
    errors,
    evaluation_bar,
    evaluation_table,
    gain_table,
    output,
)
from srl_agents.comparison.config import make_compare_config, plan
from srl_agents.comparison.inputs import check_bases, check_jobs
from srl_agents.evaluation.episodes import EpisodeFile
from srl_agents.evaluation.run import (
    EvalSettings,
    choose_problems,
    evaluate,
    split_maker,
    taken_split,
)
from srl_agents.evaluation.scoring import score_gains
from srl_agents.integrations.sb3 import load_chooser
from srl_agents.policies.named import read_spec, trained_decoding
from srl_agents.runs.config import RunConfig, make_config
from srl_agents.runs.history import check_unseen, run_folder
from srl_agents.runs.inputs import check_inputs
from srl_agents.runs.lock import held
from srl_agents.runs.tree import merged, read_tree, with_overrides
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, SrlEnvError
from srl_env.rollout import AnyPolicy
from srl_env.text.unicode import escaped

SETTINGS, EPISODES, RESULT = "settings.json", "episodes.jsonl", "result.json"
ALONE, GAIN = "alone", "gain.json"
INTERRUPTED = 130

Flags = Mapping[str, Any]
"""{dotted configuration key: value, None where the option was not given}."""


# train


def train_command(
    file: Path | None, flags: Flags, overrides: Sequence[str], resume: Path | None, dry_run: bool
) -> None:
    """Trains, or goes on training, or says what would hold."""
    if resume is not None and file is not None:
        raise BadOption(f"--resume reads the run's own configuration; leave {file} out")
    if resume is not None and (run := run_folder(resume)) not in (None, resume):
        raise BadOption(f"{resume} is a part of a run; go on with the run: --resume {run}")
    source = file if resume is None else resume / "config.json"
    tree = _with_flags(read_tree(source) if source else {}, flags)
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


def fresh_folder(name: str) -> Path:
    """A folder under ``runs`` that does not exist yet: ``runs/NAME-001``, or the next number."""
    numbers = (Path("runs") / f"{name}-{number:03d}" for number in range(1, 10**6))
    return next(folder for folder in numbers if not folder.exists())


def _train(config: RunConfig, resume: bool) -> None:
    if os.environ.get("RANK", "0") != "0":
        _train_along(config, resume)
        return
    errors.print(f"Run folder: {config.out}", highlight=False)
    from srl_agents.training.run import train

    out = Path(config.out)
    saved = out / "checkpoints"
    anothers = saved.exists() and not resume
    again = ["srl-env", "train", "--resume", str(out)]
    with _how_to_go_on(again, None if anothers else saved):
        with TrainingBar(out.name) as bar:
            result = train(config, resume=resume, on_progress=bar.show)
        if not result.finished:
            raise KeyboardInterrupt
    _leave_team()
    for stage, why in result.stages:
        typer.echo(f"Stage {stage} ended after {why}")
    for warning in result.warnings:
        typer.echo(f"Warning: {warning}")
    spent = result.spent
    typer.echo(f"{spent.updates} updates, {spent.seconds:.0f} s of training, {spent.tokens} tokens")
    typer.echo(f"Model: {result.model}\nEvaluate it: srl-env eval -m {config.out}")


def _train_along(config: RunConfig, resume: bool) -> None:
    """The part of a process that a launcher started beside the main one; it says nothing."""
    from srl_agents.training.run import train

    if not train(config, resume=resume).finished:
        raise KeyboardInterrupt
    _leave_team()


def _leave_team() -> None:
    from srl_agents.parallel.team import leave

    leave()


# eval


def begin_evaluation(
    policy: str,
    env_id: str | None,
    arguments: dict[str, Any],
    split: str,
    given: dict[str, Any],
    device: str | None,
    out: Path | None,
    policy_arguments: Mapping[str, Any] | None = None,
    chooser: Path | None = None,
) -> None:
    """Evaluates into a new folder.

    given: what was said of ``EvalSettings``. policy_arguments: of a policy on a server.
    chooser: the folder of an agent that chooses among the policy's samples; the policy alone is
    then evaluated too.
    """
    spec = read_spec(policy)
    if "split" in arguments:
        raise BadOption("the split is given by --split, not in --kwargs")
    if env_id is None and not spec.runs:
        raise BadOption(f"give an environment for {policy!r}, as -e srl/ModularChain-v0")
    env_id = env_id or spec.runs[0].env.id
    if spec.runs and spec.runs[0].env.id == env_id:
        arguments = {**spec.runs[0].env.options, **arguments}
    defaults = _FOR_PEOPLE if policy == "human" else _FOR_SERVERS if spec.on_server else {}
    if chooser:
        defaults = {name: value for name, value in defaults.items() if name != "parallel"}
    settings = EvalSettings(**{**defaults, **trained_decoding(spec.runs), **given})
    folder = out or fresh_folder(f"eval-{Path(policy).name.replace(':', '-')}")
    if (folder / SETTINGS).exists():
        raise BadOption(
            f"{folder} holds an evaluation; go on with it (srl-env eval --resume {folder}), or"
            " choose another --out"
        )
    record = {
        "policy": policy,
        "env": env_id,
        "arguments": arguments,
        "split": taken_split(env_id, arguments, split),
        "device": device,
        "policy_arguments": dict(policy_arguments or {}),
        "chooser": None if chooser is None else str(chooser),
        "settings": asdict(settings),
    }
    _evaluate(folder, record)


def resume_evaluation(folder: Path) -> None:
    """Goes on with the evaluation in a folder, or shows it again if it is finished."""
    _evaluate(folder, read_tree(folder / SETTINGS))


_FOR_PEOPLE = {"problems": 5, "rollouts": 1, "greedy": False, "at_once": 1}
_FOR_SERVERS = {"at_once": 16, "parallel": 4}  # requests that are under way at most: 64


def _evaluate(folder: Path, record: dict[str, Any]) -> None:
    settings = EvalSettings(**{**record["settings"], "ks": tuple(record["settings"]["ks"])})
    spec = read_spec(record["policy"])
    make_env = split_maker(record["env"], record["arguments"], record["split"])
    env = make_env()
    problems = [env.problems[i] for i in choose_problems(env.problems, settings)]
    check_unseen(problems, spec.runs)
    arguments = record.get("policy_arguments", {})
    policies = {record["policy"]: spec.load(env, record["device"], settings.seed, arguments)}
    if record.get("chooser"):
        alone = policies[record["policy"]]
        chooser = load_chooser(record["chooser"], alone, env)
        here = env.spec.id if env.spec else None
        if here and chooser.environment not in (None, here):
            errors.print(
                f"warning: the chooser in {record['chooser']} was trained in "
                f"{chooser.environment}, not in {here}",
                highlight=False,
            )
        policies[_chosen_name(record)] = chooser
    env.close()
    with held(folder):
        _evaluate_all(policies, folder, record, settings, make_env)


def _evaluate_all(
    policies: Mapping[str, AnyPolicy],
    folder: Path,
    record: dict[str, Any],
    settings: EvalSettings,
    make_env: Callable[[], ReasoningEnv],
) -> None:
    """Evaluates each policy into the folder, and prints what came of it."""
    (folder / SETTINGS).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    results = []
    for number, (name, policy) in enumerate(policies.items(), 1):
        place = folder if number == len(policies) else folder / ALONE
        again = ["srl-env", "eval", "--resume", str(folder)]
        with _how_to_go_on(again, folder / EPISODES), evaluation_bar(name) as bar:
            result = evaluate(
                policy,
                make_env,
                settings,
                name=name,
                episodes=EpisodeFile(place / EPISODES),
                on_progress=None if name == "human" else bar,
            )
        results.append(replace(result, env=record["env"]))
        _write_json(place / RESULT, results[-1].to_json())
        output.print(evaluation_table(results[-1]))
    if len(results) == 2:
        gain = score_gains(*results)
        _write_json(folder / GAIN, {score: asdict(found) for score, found in gain.items()})
        output.print(gain_table(gain))
    typer.echo(f"Result: {folder / RESULT}\nEpisodes: {folder / EPISODES}")


def _chosen_name(record: Mapping[str, Any]) -> str:
    return f"{record['policy']} with {record['chooser']}"


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


# play


def play_command(
    env_id: str,
    arguments: dict[str, Any],
    options: dict[str, Any],
    seed: int | None,
    episodes: int | None,
    out: Path | None,
) -> None:
    """Plays at this terminal, and saves what was played."""
    from srl_agents.cli.book import Book
    from srl_agents.cli.game import play

    env = srl_env.make(env_id, **arguments).unwrapped
    if not isinstance(env, ReasoningEnv):
        raise BadOption(f"{env_id!r} is a {type(env).__name__}; only a ReasoningEnv can be played")
    if "problem" in options:
        options["problem"] = _problem(options["problem"])
        episodes = episodes or 1
    folder = out or fresh_folder("play")
    with held(folder):
        finished = play(
            env,
            Book(folder),
            screen=output,
            source=sys.stdin,
            options=options,
            seed=seed,
            episodes=episodes,
        )
    env.close()
    ended = "1 episode" if finished == 1 else f"{finished} episodes"
    typer.echo(f"{ended} finished. What was played is in {folder}")


def _problem(text: str) -> str | int:
    """A problem's number where it is one, else its id."""
    return int(text) if text.isascii() and text.isdigit() else text


# compare


def compare_command(file: Path, flags: Flags, overrides: Sequence[str], dry_run: bool) -> None:
    """Compares, or says what would be run; writes the report."""
    tree = with_overrides(_with_flags(read_tree(file), flags), overrides)
    config = make_compare_config(tree)
    if dry_run:
        jobs = plan(config)
        check_bases(config.bases)
        check_jobs(jobs)
        typer.echo(json.dumps([job.to_json() for job in jobs], indent=2))
        return
    from srl_agents.comparison.run import compare
    from srl_agents.view.report import comparison_table, headline, write_report

    again = ["srl-env", "compare", str(file)]
    again += [part for override in overrides for part in ("--set", override)]
    given = {name: value for name, value in flags.items() if value is not None}
    again += [part for name, value in given.items() for part in (f"--{name}", str(value))]
    with _how_to_go_on(again), comparison_bars() as bars:
        comparison = compare(config, on_progress=bars)
    report = write_report(comparison, Path(config.out))
    output.print(comparison_table(comparison))
    typer.echo(f"{headline(comparison)}\nReport: {report}")
    for run in comparison.runs:
        for warning in run.warnings:
            typer.echo(f"Warning: {run.label}, {warning}")
    failed = [run for run in comparison.runs if run.error]
    for run in failed:
        typer.echo(escaped(f"error: {run.label}: {run.error}"), err=True)
    if failed:
        raise typer.Exit(1)


# shared


def _with_flags(tree: Mapping[str, Any], flags: Flags) -> dict[str, Any]:
    """The tree with the value of each option that was given."""
    for key, value in flags.items():
        if value is not None:
            change: Any = value
            for part in reversed(key.split(".")):
                change = {part: change}
            tree = merged(tree, change)
    return dict(tree)


@contextmanager
def _how_to_go_on(command: Sequence[str], saved: Path | None = None) -> Iterator[None]:
    """Ctrl-C inside says which command goes on, and so does an error once ``saved`` is there."""
    again = shlex.join(command)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"Interrupted; what was done is saved. Go on with:\n  {again}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (SrlEnvError, OSError):
        if saved is not None and saved.exists():
            typer.echo(f"What was done is saved. Once this is mended:\n  {again}", err=True)
        raise

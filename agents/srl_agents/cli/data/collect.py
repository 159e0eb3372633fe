"""``srl-env data collect``: expert data from a policy."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.options import (
    ApiKeyEnv,
    BaseUrl,
    Device,
    Kwargs,
    MaxCost,
    MaxRequests,
    PolicyKwargs,
    Prices,
    json_object,
    options_of,
    server_arguments,
    spending_limits,
)
from srl_agents.expert_data.settings import SAMPLING, CollectConfig
from srl_env.errors import BadOption
from srl_env.text.unicode import escaped

if TYPE_CHECKING:
    from srl_agents.expert_data.collect import Collected

app = typer.Typer()

RECORD, REPORT = "settings.json", "report.json"
_SERVER = {"at_once": 16, "parallel": 4}  # at most 64 requests at a time


@app.command(
    epilog="[bold]srl-env data collect -m openai:gpt-5-mini -e srl/GSM8K-v0 -o teacher.jsonl"
    " --prices 0.25,2 --max-cost 5[/]\n\n"
    "[bold]srl-env data collect -m runs/first -e srl/ToolShop-v0 -n 50 -r 8 --keep diverse"
    " --per-problem 2 -o own.jsonl[/]\n\n"
    "[bold]srl-env train --config run.toml --set env.experts=teacher.jsonl[/]\n\n"
    "Every finished episode is saved in OUT.collect. The same command with --resume continues, and"
    " asks for no finished episode a second time."
)
@options_of(
    CollectConfig,
    flags={"problems": "-n", "rollouts": "-r"},
    only=[*SAMPLING, "keep", "per_problem", "splitter"],
)
def collect(
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            "-m",
            help="Policy: openai:MODEL on a server, a run's folder, a model's folder or hub name,"
            " expert, or your own: FILE.py or module:Class.",
        ),
    ],
    env: Annotated[str, typer.Option("--env", "-e", help="Environment: an id, or FILE.py.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="FILE.jsonl, FILE.parquet, or a datasets folder.")
    ],
    rejected: Annotated[
        Path | None, typer.Option(help="File for the rejected solutions, with the reasons.")
    ] = None,
    kwargs: Kwargs = "{}",
    device: Device = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    policy_kwargs: PolicyKwargs = "{}",
    max_requests: MaxRequests = None,
    max_cost: MaxCost = None,
    prices: Prices = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a collection.")] = False,
    **given: Any,
) -> None:
    """Sample solutions from a policy; keep those that the verifier accepts, as expert data."""
    from srl_agents.cli.console import evaluation_bar
    from srl_agents.cli.folders import resume_hint
    from srl_agents.evaluation.episodes import EPISODES
    from srl_agents.evaluation.plan import split_maker, taken_split
    from srl_agents.expert_data.collect import USAGE, UsageFile, collection_folder
    from srl_agents.expert_data.collect import collect as collect_from
    from srl_agents.policies.named import read_spec, trained_decoding
    from srl_agents.runs.files import write_json
    from srl_agents.runs.lock import held
    from srl_agents.runs.validation import validated

    spec, arguments = read_spec(policy), json_object(kwargs)
    if "split" in arguments:
        raise BadOption("the split is given by --split, not in --kwargs")
    defaults = _SERVER if spec.on_server else {}
    settings = validated(CollectConfig, {**defaults, **given}, "")
    settings = settings.filled(**trained_decoding(spec.runs))
    folder = collection_folder(out)
    split = taken_split(env, arguments, settings.split)
    record = {
        "policy": policy,
        "env": env,
        "arguments": arguments,
        "split": split,
        "settings": settings.model_dump(mode="json", include=SAMPLING - {"at_once", "parallel"}),
    }
    asked = json_object(policy_kwargs, "--policy-kwargs") | server_arguments(base_url, api_key_env)
    used = UsageFile(folder / USAGE).total
    asked |= spending_limits(max_requests, max_cost, prices, used)
    _check_out(out, rejected)
    with held(folder):
        _check_folder(folder, record, resume)
        make_env = split_maker(env, arguments, split)
        loaded = make_env()
        teacher = spec.load(loaded, device, settings.seed, asked)
        loaded.close()
        write_json(folder / RECORD, record)
        command = ["srl-env", *sys.argv[1:], *([] if resume else ["--resume"])]
        with resume_hint(command, folder / EPISODES), evaluation_bar(policy) as bar:
            found = collect_from(
                *(teacher, make_env, settings, out),
                rejected=rejected,
                name=policy,
                on_progress=bar,
            )
        write_json(folder / REPORT, found.to_json())
    typer.echo(escaped(_report(found, out, rejected)))
    if found.stopped is not None:
        limit = str(found.stopped).partition(" is reached")[0].replace("_", "-")
        raise BadOption(
            f"the limit {limit} is reached. Fix: raise it, and continue with {shlex.join(command)}"
        )


def _check_out(*files: Path | None) -> None:
    """Raises BadOption for a file that cannot be written, before anything is sampled."""
    from srl_env.data.files.write import check_free, kind_of

    for file in files:
        if file is not None:
            check_free(file, kind_of(file), force=True)


def _check_folder(folder: Path, record: Mapping[str, Any], resume: bool) -> None:
    """Raises BadOption for a folder of another collection, or of one to be resumed."""
    from srl_agents.runs.settings import read_tree

    file = folder / RECORD
    if not file.exists():
        if resume:
            raise BadOption(f"--resume must continue a collection; got none in {folder}")
        return
    if not resume:
        raise BadOption(
            f"{folder} must not hold a collection; got one. Fix: continue it with --resume, or"
            " choose another --out"
        )
    before = read_tree(file)
    changed = [key for key in record if record[key] != before.get(key)]
    if "settings" in changed:
        changed.remove("settings")
        old, new = before["settings"], record["settings"]
        changed += [f"--{key.replace('_', '-')}" for key in new if new[key] != old.get(key)]
    if changed:
        raise BadOption(
            f"{folder} must be resumed as it began; got another {', '.join(changed)}. Fix: give"
            " the same options, or choose another --out"
        )


def _report(found: Collected, out: Path, rejected: Path | None) -> str:
    """What was sampled and written, one line each."""
    wrong = {name: n for name, n in found.verdicts.items() if name != "accepted"}
    reasons = ", ".join(f"{n:,} {_REASONS[name]}" for name, n in wrong.items()) or "none"
    lines = [
        f"sampled: {found.sampled:,} of {found.planned:,} solutions",
        f"accepted: {found.verdicts['accepted']:,} ({found.acceptance:.0%} of those with a"
        f" verdict), {found.duplicates:,} of them duplicates",
        f"rejected: {reasons}",
    ]
    if found.failures:
        failures = ", ".join(f"{name} {n:,}" for name, n in sorted(found.failures.items()))
        lines.append(f"failed, not counted and not written: {failures}")
    if used := found.usage:
        counts = (f"{name.replace('_', ' ')} {n:,.6g}" for name, n in used.items())
        lines.append(f"used: {', '.join(counts)}")
    elif found.tokens:
        lines.append(f"used: {found.tokens:,} completion tokens")
    lines.append(f"{out}: {found.problems:,} problems, {found.kept:,} solutions")
    if rejected is not None:
        lines.append(f"{rejected}: rejected solutions of {found.rejected:,} problems")
    return "\n".join(lines)


_REASONS = {
    "wrong": "not correct",
    "format": "correct in a broken format",
    "truncated": "correct, but a step was truncated",
    "split": "correct, but not in its steps",
}

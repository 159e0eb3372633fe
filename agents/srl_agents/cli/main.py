"""The command ``srl-env``: environments listed and checked, policies trained, evaluated, compared.

Only what a command needs is imported, when it runs: ``--help``, ``list`` and ``check`` work
without torch. Users' mistakes end with one line and exit code 2, other errors of the library
with one line and 1, Ctrl-C with 130.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import srl_env
from srl_agents.cli import rescore as analysis_commands
from srl_agents.cli.boundary import boundary
from srl_agents.cli.data import convert as data_commands
from srl_agents.cli.options import json_object
from srl_agents.cli.swe import build as swe_commands
from srl_env.errors import BadOption
from srl_env.registration.ids import UnknownEnvironment

app = typer.Typer(
    name="srl-env",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    help="Reasoning problems as environments; language models trained on them by SRL and RLVR.",
    epilog="Start with [bold]srl-env list[/], then"
    " [bold]srl-env eval -m expert -e srl/ModularChain-v0[/].",
)
app.add_typer(data_commands.app, name="data")
app.add_typer(swe_commands.app, name="swe")
app.add_typer(analysis_commands.app)

Env = Annotated[
    str | None,
    typer.Option("--env", "-e", help="Environment: an id, steps:FILE.jsonl, or FILE.py."),
]
Kwargs = Annotated[
    str, typer.Option("--kwargs", help="Arguments of the environment, as JSON.", metavar="JSON")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set one thing, as train.lr=3e-4; may be repeated."),
]


@app.command(
    "list",
    epilog="[bold]srl-env list[/]\n\n[bold]srl-env list chain[/]  ids that contain 'chain'",
)
@boundary
def list_command(
    text: Annotated[str, typer.Argument(help="Only ids that contain this.")] = "",
) -> None:
    """Every installed environment: its id, what it is, and its splits."""
    from srl_agents.cli.console import output
    from srl_agents.cli.list import catalog_table, entries
    from srl_env.rewards import reward_modes

    found = [entry for entry in entries() if text.lower() in entry.id.lower()]
    if not found:
        raise UnknownEnvironment("environment", text, srl_env.environment_ids())
    output.print(catalog_table(found))
    output.print(f"Reward modes, any of them in any episode: {', '.join(reward_modes())}.")


@app.command(epilog="[bold]srl-env init my_tasks[/]\n\n[bold]srl-env init my_tasks --kind tools[/]")
@boundary
def init(
    name: Annotated[str, typer.Argument(help="Of the package, as my_tasks.")],
    kind: Annotated[
        str, typer.Option(help="What the environment is made of: data, generated or tools.")
    ] = "data",
    folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write. [a folder of that name]")
    ] = None,
) -> None:
    """Writes a package with a working environment, ten problems, and tests, to be changed."""
    from srl_agents.cli.scaffold import write_package

    package = write_package(name, kind, folder)
    lines = [f"wrote {path}" for path in package.files]
    typer.echo("\n".join([*lines, "", "It works as it is:", *package.next_steps]))


@app.command(
    epilog="[bold]srl-env check srl/ModularChain-v0[/]\n\n"
    """[bold]srl-env check srl/ModularChain-v0 --kwargs '{"difficulty": 9}'[/]\n\n"""
    "[bold]srl-env check steps:problems.jsonl[/]  or my_env.py, my_env.py:Class, my_package/"
)
@boundary
def check(
    env_id: Annotated[
        str, typer.Argument(metavar="ID|PATH", help="Environment id, file, or package folder.")
    ],
    kwargs: Kwargs = "{}",
    problems: Annotated[int, typer.Option(min=1, help="How many problems are tried.")] = 3,
    hostile: Annotated[int, typer.Option(min=0, help="How many hostile texts are tried.")] = 10_000,
    seconds: Annotated[float, typer.Option(help="For each of the checks with such texts.")] = 20.0,
) -> None:
    """Whether an environment keeps what every environment here promises; exit code 1 if not."""
    from srl_agents.cli.check import check_all

    settings = {"problems": problems, "hostile": hostile, "seconds": seconds}
    if not check_all(env_id, json_object(kwargs), settings):
        raise typer.Exit(1)


@app.command(
    epilog="""[bold]srl-env play srl/GSM8K-v0 --kwargs '{"source": "sample"}'[/]\n\n"""
    "[bold]srl-env play steps:problems.jsonl --mode rlvr[/]"
)
@boundary
def play(
    env_id: Annotated[
        str, typer.Argument(metavar="ID|PATH", help="Environment id, file, or package folder.")
    ],
    kwargs: Kwargs = "{}",
    mode: Annotated[str | None, typer.Option(help="Reward mode. [the environment's]")] = None,
    problem: Annotated[str | None, typer.Option(help="Id or number. [drawn]")] = None,
    start_step: Annotated[int, typer.Option(min=0, help="Expert steps taken already.")] = 0,
    continuation: Annotated[
        str | None, typer.Option(help="expert: its step enters the history; policy: yours does.")
    ] = None,
    granularity: Annotated[str | None, typer.Option(help="step or solution.")] = None,
    episodes: Annotated[int | None, typer.Option(min=1, help="How many. [until :quit]")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Draws the problems.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; one from before is added to.")
    ] = None,
) -> None:
    """You take the steps: see rewards, and where yours agree with the expert's."""
    from srl_agents.cli import train as commands

    given = {
        "reward_mode": mode,
        "problem": problem,
        "start_step": start_step or None,
        "continuation": continuation,
        "granularity": granularity,
    }
    options = {name: value for name, value in given.items() if value is not None}
    commands.play_command(env_id, json_object(kwargs), options, seed, episodes, out)


@app.command(
    epilog="Methods: sft, rlvr, srl, holistic, sft-rlvr, srl-rlvr.\n\n"
    "[bold]srl-env train -e srl/ModularChain-v0 -m runs/base/model --method srl-rlvr"
    " --seconds 120[/]\n\n"
    "[bold]srl-env train --config run.toml --set train.lr=3e-4"
    " --set stages.srl.objective.temperature=1.2[/]\n\n"
    "[bold]srl-env train --config run.toml --dry-run[/]  prints everything that would hold\n\n"
    "[bold]srl-env train --resume runs/first[/]  goes on after Ctrl-C, a crash, or a kill"
)
@boundary
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
    from srl_agents.cli import train as commands

    given: dict[str, Any] = {"method": method, "env.id": env, "model.path": model, "out": out}
    given["env.options"] = json_object(kwargs) or None
    flags = given | {"budget.seconds": seconds, "seed": seed}
    if file is not None and config is not None:
        raise BadOption(f"{file} and --config {config} are two configurations; give one")
    commands.train_command(file or config, flags, overrides or [], resume, dry_run)


@app.command(
    "eval",
    epilog="[bold]srl-env eval -m runs/first[/]  a run, on its environment's test problems\n\n"
    "[bold]srl-env eval -m Qwen/Qwen3-0.6B -e srl/GSM8K-v0 -n 200 -r 16[/]\n\n"
    "[bold]srl-env eval -m expert -e srl/ModularChain-v0[/]  also: random, human\n\n"
    "[bold]srl-env eval -m openai:Qwen/Qwen3-8B --base-url http://localhost:8000/v1"
    " -e srl/GSM8K-v0[/]\n\n"
    "[bold]srl-env eval --resume runs/eval-first-001[/]  goes on after Ctrl-C",
)
@boundary
def eval_command(
    context: typer.Context,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            "-m",
            help="expert, random, human, a run's folder, a model's folder or hub name, or"
            " openai:MODEL on a server.",
        ),
    ] = None,
    env: Env = None,
    kwargs: Kwargs = "{}",
    problems: Annotated[
        int | None, typer.Option("--problems", "-n", min=1, help="Problems. [100]")
    ] = None,
    rollouts: Annotated[
        int | None, typer.Option("--rollouts", "-r", "-k", min=1, help="Rollouts of each. [8]")
    ] = None,
    split: Annotated[str, typer.Option(help="Which problems; never those trained on.")] = "test",
    temperature: Annotated[float, typer.Option(help="Of the rollouts.")] = 1.0,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of one completion. [as trained, or 256]")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Of one rollout.")] = None,
    granularity: Annotated[
        str | None, typer.Option(help="step or solution. [as trained, or the environment's]")
    ] = None,
    greedy: Annotated[
        bool | None, typer.Option(help="Also one greedy rollout of each. [yes]")
    ] = None,
    similarity: Annotated[
        bool, typer.Option(help="Also each step's similarity to the expert's.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Chooses problems and random numbers.")] = 0,
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Episodes side by side; fewer for heavy worlds. [512]")
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option(min=1, help="Batches of those at once, for a model on a server. [1, or 4]"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, …")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Of a server that speaks OpenAI's API; ends in /v1.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the server's key.")
    ] = None,
    policy_kwargs: Annotated[
        str,
        typer.Option(
            metavar="JSON",
            help="""More for openai:MODEL or vllm:MODEL: '{"max_requests": 500}'.""",
        ),
    ] = "{}",
    chooser: Annotated[
        Path | None,
        typer.Option(help="Folder of an agent that chooses among the policy's samples."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; a new one under runs/.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder of an evaluation to go on with.")
    ] = None,
) -> None:
    """How often a policy is right on problems it has not seen: pass@k, greedy, legal steps."""
    from srl_agents.cli import train as commands

    if resume is not None:
        if more := _given_besides(context, "resume"):
            raise BadOption(f"--resume reads the evaluation's own settings; leave out {more}")
        commands.resume_evaluation(resume)
        return
    if policy is None:
        raise BadOption("give a policy: -m expert, -m RUN, -m MODEL …")
    settings = {
        "problems": problems,
        "rollouts": rollouts,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "max_steps": max_steps,
        "granularity": granularity,
        "greedy": greedy,
        "similarity": similarity,
        "seed": seed,
        "at_once": at_once,
        "parallel": parallel,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    server = {"base_url": base_url, "api_key_env": api_key_env}
    server = {name: value for name, value in server.items() if value is not None}
    commands.begin_evaluation(
        policy,
        env,
        json_object(kwargs),
        split,
        given,
        device,
        out,
        {**json_object(policy_kwargs, "--policy-kwargs"), **server},
        chooser,
    )


@app.command(
    epilog="[bold]srl-env compare compare.toml[/]  again after Ctrl-C: what is done stays\n\n"
    "[bold]srl-env compare compare.toml --set seeds=[0,1,2,3,4] --jobs 2[/]\n\n"
    "[bold]srl-env compare compare.toml --set run.train.lr=3e-4 --set evaluation.rollouts=4[/]\n\n"
    "A file to begin with:\n\n"
    'out = "runs/compare"; methods = ["rlvr", "srl-rlvr"]; seeds = [0, 1, 2]; and the tables'
    " \\[run.env], \\[run.model], \\[run.budget] as in a run's own configuration. Where wanted"
    " \\[evaluation], with split, problems, rollouts, ks, max_tokens …; \\[curve], with every_s;"
    " \\[changes.METHOD], with what one method does otherwise."
)
@boundary
def compare(
    config: Annotated[Path, typer.Argument(help="TOML or JSON file of a comparison.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Set one thing, as run.train.lr=3e-4; may be repeated."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Runs at the same time.")
    ] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="The comparison's folder.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every run there would be and stop.")
    ] = False,
) -> None:
    """Several methods, several seeds, equal budgets: one table and one report."""
    from srl_agents.cli import train as commands

    commands.compare_command(config, {"jobs": jobs, "out": out}, overrides or [], dry_run)


@app.command(
    epilog="[bold]srl-env view runs/first[/]  writes runs/first/view.html\n\n"
    "[bold]srl-env view runs/compare runs/eval-first-001 -o both.html[/]\n\n"
    "[bold]srl-env view runs/first --terminal --where group=dropped --where step=0-2[/]"
)
@boundary
def view(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…", help="Folders of runs, comparisons, evaluations; files of rollouts."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page. [RUN/view.html]")
    ] = None,
    terminal: Annotated[
        bool, typer.Option("--terminal", "-t", help="Show it here instead of writing a page.")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="In the terminal: only steps with run=, problem=, step=, reward=, verdict=,"
            " failure=, group=, form=, part=, text=; may be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=0, help="In the terminal: this step of the list.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="At most so many steps, evenly. [200000]")
    ] = None,
    tokens: Annotated[bool, typer.Option(help="Token ids and log-probs in the page too.")] = True,
) -> None:
    """What happened in a run, step by step: one HTML page that needs no network."""
    from srl_agents.cli.view import view_command

    view_command(runs, out, terminal, where or [], step, steps, tokens)


@app.command(
    epilog="[bold]srl-env plot runs/compare[/]  into runs/compare/figures\n\n"
    "[bold]srl-env plot runs/first runs/second -o figures --format pdf[/]"
)
@boundary
def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN…", help="Folders of runs, comparisons, evaluations."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder. [RUN/figures, or figures]")
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="png, svg, pdf; may be repeated. [all]")
    ] = None,
) -> None:
    """The figures and tables of a paper: curves, success by difficulty and step, numbers."""
    from srl_agents.cli.view import plot_command

    plot_command(runs, out, formats)


def _given_besides(context: typer.Context, option: str) -> str:
    """The other options that stand on the command line, "" if there are none."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [n for n, s in sources.items() if n != option and s and s.name == "COMMANDLINE"]
    return ", ".join("--" + name.replace("_", "-") for name in given)

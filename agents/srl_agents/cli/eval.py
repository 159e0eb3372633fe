"""``srl-env eval``: policies evaluated, now or from where an evaluation stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.console import errors, evaluation_bar, output
from srl_agents.cli.folders import fresh_folder, how_to_go_on, write_json
from srl_agents.cli.options import Env, Kwargs, json_object, options_of
from srl_agents.cli.tables import evaluation_table, gain_table
from srl_agents.runs.evaluation import EvaluationConfig
from srl_env.errors import BadOption

if TYPE_CHECKING:
    from srl_env.environment import ReasoningEnv
    from srl_env.rollout import AnyPolicy


app = typer.Typer()


ALONE, GAIN = "alone", "gain.json"


def begin_evaluation(
    policy: str,
    env_id: str | None,
    arguments: dict[str, Any],
    given: dict[str, Any],
    device: str | None,
    out: Path | None,
    policy_arguments: Mapping[str, Any] | None = None,
    chooser: Path | None = None,
) -> None:
    """Evaluates into a new folder.

    given: the settings of the evaluation that were set. policy_arguments: of a policy on a
    server. chooser: the folder of an agent that chooses among the policy's samples; the policy
    alone is then evaluated too.
    """
    from srl_agents.evaluation.folder import SETTINGS
    from srl_agents.evaluation.plan import taken_split
    from srl_agents.policies.named import read_spec, trained_decoding
    from srl_agents.runs.validation import validated

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
    settings = validated(EvaluationConfig, {**defaults, **given}, "")
    settings = settings.filled(**trained_decoding(spec.runs))
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
        "split": taken_split(env_id, arguments, settings.split),
        "device": device,
        "policy_arguments": dict(policy_arguments or {}),
        "chooser": None if chooser is None else str(chooser),
        "settings": settings.model_dump(mode="json"),
    }
    _evaluate(folder, record)


def resume_evaluation(folder: Path) -> None:
    """Goes on with the evaluation in a folder, or shows it again if it is finished."""
    from srl_agents.evaluation.folder import SETTINGS
    from srl_agents.runs.settings import read_tree

    _evaluate(folder, read_tree(folder / SETTINGS))


_FOR_PEOPLE = {"problems": 5, "rollouts": 1, "greedy": False, "at_once": 1}


_FOR_SERVERS = {"at_once": 16, "parallel": 4}  # requests that are under way at most: 64


def _evaluate(folder: Path, record: dict[str, Any]) -> None:
    from srl_agents.evaluation.plan import choose_problems, split_maker
    from srl_agents.policies.named import read_spec
    from srl_agents.runs.history import check_unseen
    from srl_agents.runs.lock import held

    settings = EvaluationConfig(**record["settings"])
    spec = read_spec(record["policy"])
    make_env = split_maker(record["env"], record["arguments"], record["split"])
    env = make_env()
    problems = [env.problems[i] for i in choose_problems(env.problems, settings)]
    check_unseen(problems, spec.runs)
    arguments = record.get("policy_arguments", {})
    policies = {record["policy"]: spec.load(env, record["device"], settings.seed, arguments)}
    if record.get("chooser"):
        alone = policies[record["policy"]]
        from srl_agents.integrations.sb3.chooser import SB3Policy

        chooser = SB3Policy.load(record["chooser"], alone, format=env.format)
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
    settings: EvaluationConfig,
    make_env: Callable[[], ReasoningEnv],
) -> None:
    """Evaluates each policy into the folder, and prints what came of it."""
    from srl_agents.evaluation.episodes import EpisodeFile
    from srl_agents.evaluation.evaluator import evaluate
    from srl_agents.evaluation.folder import EPISODES, RESULT, SETTINGS
    from srl_agents.evaluation.scoring import score_gains

    (folder / SETTINGS).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    results = []
    for number, (name, policy) in enumerate(policies.items(), 1):
        place = folder if number == len(policies) else folder / ALONE
        again = ["srl-env", "eval", "--resume", str(folder)]
        with how_to_go_on(again, folder / EPISODES), evaluation_bar(name) as bar:
            result = evaluate(
                policy,
                make_env,
                settings,
                name=name,
                episodes=EpisodeFile(place / EPISODES),
                on_progress=None if name == "human" else bar,
            )
        results.append(replace(result, env=record["env"]))
        write_json(place / RESULT, results[-1].to_json())
        output.print(evaluation_table(results[-1]))
    if len(results) == 2:
        gain = score_gains(*results)
        write_json(folder / GAIN, {score: asdict(found) for score, found in gain.items()})
        output.print(gain_table(gain))
    typer.echo(f"Result: {folder / RESULT}\nEpisodes: {folder / EPISODES}")


def _chosen_name(record: Mapping[str, Any]) -> str:
    return f"{record['policy']} with {record['chooser']}"


@app.command(
    "eval",
    epilog="[bold]srl-env eval -m runs/first[/]  a run, on its environment's test problems\n\n"
    "[bold]srl-env eval -m Qwen/Qwen3-0.6B -e srl/GSM8K-v0 -n 200 -r 16[/]\n\n"
    "[bold]srl-env eval -m expert -e srl/ModularChain-v0[/]  also: random, human\n\n"
    "[bold]srl-env eval -m openai:Qwen/Qwen3-8B --base-url http://localhost:8000/v1"
    " -e srl/GSM8K-v0[/]\n\n"
    "[bold]srl-env eval --resume runs/eval-first-001[/]  goes on after Ctrl-C",
)
@options_of(EvaluationConfig, flags={"problems": "-n", "rollouts": "-r"})
def eval_command(
    context: typer.Context,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            "-m",
            help="expert, random, human, a run's folder, a model's folder or hub name,"
            " openai:MODEL on a server, or your own: FILE.py or module:Class.",
        ),
    ] = None,
    env: Env = None,
    kwargs: Kwargs = "{}",
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
            help="""More for openai:MODEL, vllm:MODEL or your own: '{"max_requests": 500}'.""",
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
        Path | None, typer.Option(help="Folder of an evaluation to continue.")
    ] = None,
    **given: Any,
) -> None:
    """How often a policy is right on problems it has not seen: pass@k, greedy, legal steps."""

    if resume is not None:
        if more := _given_besides(context, "resume"):
            raise BadOption(f"--resume reads the evaluation's own settings; leave out {more}")
        resume_evaluation(resume)
        return
    if policy is None:
        raise BadOption("give a policy: -m expert, -m RUN, -m MODEL …")
    server = {"base_url": base_url, "api_key_env": api_key_env}
    server = {name: value for name, value in server.items() if value is not None}
    begin_evaluation(
        policy,
        env,
        json_object(kwargs),
        given,
        device,
        out,
        {**json_object(policy_kwargs, "--policy-kwargs"), **server},
        chooser,
    )


def _given_besides(context: typer.Context, option: str) -> str:
    """The other options that stand on the command line, "" if there are none."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [n for n, s in sources.items() if n != option and s and s.name == "COMMANDLINE"]
    return ", ".join("--" + name.replace("_", "-") for name in given)

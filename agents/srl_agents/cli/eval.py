"""``srl-env eval``: policies evaluated, from the beginning or from a stopped evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.console import errors, evaluation_bar, output
from srl_agents.cli.folders import fresh_folder, resume_hint
from srl_agents.cli.options import (
    ApiKeyEnv,
    BaseUrl,
    Device,
    Env,
    Kwargs,
    PolicyKwargs,
    json_object,
    options_of,
    server_arguments,
)
from srl_agents.runs.evaluation import EvaluationConfig
from srl_agents.runs.files import write_json
from srl_env.errors import BadOption

if TYPE_CHECKING:
    from srl_agents.runs.config import RunConfig
    from srl_env.environment import ReasoningEnv
    from srl_env.rollout import AnyPolicy

app = typer.Typer()

ALONE, GAIN = "alone", "gain.json"
_PERSON = {"problems": 5, "rollouts": 1, "greedy": False, "at_once": 1}
_SERVER = {"at_once": 16, "parallel": 4}  # at most 64 requests at a time


@app.command(
    "eval",
    epilog="[bold]srl-env eval -m runs/first[/]  a run, on its environment's test problems\n\n"
    "[bold]srl-env eval -m Qwen/Qwen3-0.6B -e srl/GSM8K-v0 -n 200 -r 16[/]\n\n"
    "[bold]srl-env eval -m expert -e srl/ModularChain-v0[/]  also: random, human\n\n"
    "[bold]srl-env eval -m openai:Qwen/Qwen3-8B --base-url http://localhost:8000/v1"
    " -e srl/GSM8K-v0[/]\n\n"
    "[bold]srl-env eval --resume runs/eval-first-001[/]  continues after Ctrl-C",
)
@options_of(EvaluationConfig, flags={"problems": "-n", "rollouts": "-r"})
def eval_command(
    context: typer.Context,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            "-m",
            help="Policy: expert, random, human, a run's folder, a model's folder or hub name,"
            " openai:MODEL on a server, or your own: FILE.py or module:Class.",
        ),
    ] = None,
    env: Env = None,
    kwargs: Kwargs = "{}",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder to write. By default a new one under runs/."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder of an evaluation to continue.")
    ] = None,
    device: Device = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    policy_kwargs: PolicyKwargs = "{}",
    chooser: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an agent that chooses among the policy's samples. The policy is also"
            " evaluated alone."
        ),
    ] = None,
    **given: Any,
) -> None:
    """Measure how often a policy solves unseen problems: pass@k, greedy, legal steps."""
    from srl_agents.evaluation.folder import SETTINGS
    from srl_agents.runs.settings import read_tree

    if resume is not None:
        if more := _given_besides(context, "resume"):
            raise BadOption(f"--resume uses the evaluation's own settings; leave out {more}")
        if not (resume / SETTINGS).is_file():
            raise BadOption(
                f"--resume must be the folder of an evaluation; got {resume}, which holds no"
                f" {SETTINGS}. Fix: give a folder that srl-env eval wrote"
            )
        _evaluate(resume, read_tree(resume / SETTINGS))
        return
    if policy is None:
        raise BadOption("give a policy: -m expert, -m RUN, -m MODEL …")
    record = _record(policy, env, json_object(kwargs), chooser, given) | {
        "device": device,
        "policy_arguments": json_object(policy_kwargs, "--policy-kwargs")
        | server_arguments(base_url, api_key_env),
    }
    folder = out or fresh_folder(f"eval-{Path(policy).name.replace(':', '-')}")
    if (folder / SETTINGS).exists():
        raise BadOption(
            f"--out must be a new folder; got {folder}, which holds an evaluation. Fix: continue it"
            f" with srl-env eval --resume {folder}, or choose another --out"
        )
    _evaluate(folder, record)


def _given_besides(context: typer.Context, option: str) -> str:
    """The other options on the command line; "" for none."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [n for n, s in sources.items() if n != option and s and s.name == "COMMANDLINE"]
    return ", ".join("--" + name.replace("_", "-") for name in given)


def _record(
    policy: str,
    env_id: str | None,
    arguments: dict[str, Any],
    chooser: Path | None,
    given: dict[str, Any],
) -> dict[str, Any]:
    """What is evaluated and how, as ``settings.json`` keeps it."""
    from srl_agents.evaluation.plan import taken_split
    from srl_agents.policies.named import read_spec, trained_decoding
    from srl_agents.runs.validation import validated

    spec = read_spec(policy)
    if "split" in arguments:
        raise BadOption("the split is given by --split, not in --kwargs")
    if env_id is None and not spec.runs:
        raise BadOption(f"give an environment for {policy!r}, e.g. -e srl/ModularChain-v0")
    env_id, arguments = _trained_in(env_id, arguments, spec.runs)
    defaults = _PERSON if policy == "human" else _SERVER if spec.on_server else {}
    if chooser:
        defaults = {name: value for name, value in defaults.items() if name != "parallel"}
    settings = validated(EvaluationConfig, {**defaults, **given}, "")
    return {
        "policy": policy,
        "env": env_id,
        "arguments": arguments,
        "split": taken_split(env_id, arguments, settings.split),
        "chooser": None if chooser is None else str(chooser),
        "settings": settings.filled(**trained_decoding(spec.runs)).model_dump(mode="json"),
    }


def _trained_in(
    env_id: str | None, arguments: dict[str, Any], runs: Sequence[RunConfig]
) -> tuple[str, dict[str, Any]]:
    """The environment, by default that of the last run, and its arguments; a run's come first."""
    trained = {name or each.id: each for run in runs[:1] for name, each in run.environments.items()}
    if env_id is None:
        if len(trained) > 1:
            raise BadOption(
                f"{runs[0].out} trained on several environments. Fix: choose one, as -e"
                f" {next(iter(trained))}; the others: {', '.join(list(trained)[1:])}"
            )
        env_id = next(iter(trained))
    if (found := trained.get(env_id)) is None:
        return env_id, arguments
    return found.id, {**found.options, **arguments}


def _evaluate(folder: Path, record: dict[str, Any]) -> None:
    """Starts or continues the evaluation in a folder."""
    from srl_agents.evaluation.plan import ChosenProblems, choose_problems, split_maker
    from srl_agents.policies.named import read_spec
    from srl_agents.runs.history import check_unseen
    from srl_agents.runs.lock import held

    settings = EvaluationConfig(**record["settings"])
    spec = read_spec(record["policy"])
    make_env = split_maker(record["env"], record["arguments"], record["split"])
    env = make_env()
    check_unseen(ChosenProblems(env.problems, choose_problems(env.problems, settings)), spec.runs)
    policy = spec.load(env, record["device"], settings.seed, record["policy_arguments"])
    policies = {record["policy"]: policy}
    if record["chooser"]:
        policies[f"{record['policy']} with {record['chooser']}"] = _chooser(record, policy, env)
    env.close()
    with held(folder):
        _evaluate_all(policies, folder, record, settings, make_env)


def _chooser(record: Mapping[str, Any], policy: AnyPolicy, env: ReasoningEnv) -> AnyPolicy:
    from srl_agents.integrations.sb3.chooser import SB3Policy

    chooser = SB3Policy.load(record["chooser"], policy, format=env.format)
    here = env.spec.id if env.spec else None
    if here and chooser.environment not in (None, here):
        errors.print(
            f"warning: the chooser in {record['chooser']} was trained in {chooser.environment}, not"
            f" in {here}",
            highlight=False,
        )
    return chooser


def _evaluate_all(
    policies: Mapping[str, AnyPolicy],
    folder: Path,
    record: dict[str, Any],
    settings: EvaluationConfig,
    make_env: Callable[[], ReasoningEnv],
) -> None:
    """Evaluates each policy into the folder, and prints the scores."""
    from srl_agents.cli.tables import evaluation_table, gain_table
    from srl_agents.evaluation.episodes import EPISODES, EpisodeLog
    from srl_agents.evaluation.evaluator import evaluate
    from srl_agents.evaluation.folder import SETTINGS
    from srl_agents.evaluation.results import RESULT, write_result
    from srl_agents.evaluation.scoring import score_gains

    write_json(folder / SETTINGS, record)
    results = []
    for number, (name, policy) in enumerate(policies.items(), 1):
        place = folder if number == len(policies) else folder / ALONE
        again = ["srl-env", "eval", "--resume", str(folder)]
        with resume_hint(again, folder / EPISODES), evaluation_bar(name) as bar:
            result = evaluate(
                policy,
                make_env,
                settings,
                name=name,
                episodes=EpisodeLog(place / EPISODES),
                on_progress=None if name == "human" else bar,
            )
        results.append(replace(result, env=record["env"]))
        write_result(place, results[-1])
        output.print(evaluation_table(results[-1]))
    if len(results) == 2:
        gain = score_gains(*results)
        write_json(folder / GAIN, {score: asdict(found) for score, found in gain.items()})
        output.print(gain_table(gain))
    typer.echo(f"Result: {folder / RESULT}\nEpisodes: {folder / EPISODES}")

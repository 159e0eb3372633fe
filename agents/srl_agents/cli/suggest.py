"""``srl-env suggest``: a method for a data set and a model, with the evidence behind it."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.options import (
    ApiKeyEnv,
    BaseUrl,
    Device,
    Kwargs,
    json_object,
    options_of,
    server_arguments,
)
from srl_agents.runs.evaluation import EvaluationConfig
from srl_env.errors import BadOption
from srl_env.text.unicode import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from srl_agents.evaluation.contrasts import Comparison
    from srl_agents.evaluation.suggestion import Probe, Recommendation
    from srl_env.environment import ReasoningEnv
    from srl_env.problem import Problem

app = typer.Typer()

_PROBE: dict[str, Any] = {"problems": 32, "split": "train", "greedy": False}
_OPTIONS = ("problems", "rollouts", "temperature", "max_tokens", "max_steps", "seed", "split")


@app.command(
    epilog="[bold]srl-env suggest srl/GSM8K-v0 -m Qwen/Qwen3-0.6B[/]\n\n"
    "[bold]srl-env suggest steps:train.jsonl -m runs/base/model[/]  your own demonstrations\n\n"
    "[bold]srl-env suggest srl/ModularChain-v0 -m runs/base/model --kwargs"
    """ '{"hide_thoughts": true}'[/]"""
)
@options_of(EvaluationConfig, flags={"problems": "-n", "rollouts": "-r"}, only=_OPTIONS)
def suggest(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="An environment's id, steps:FILE.jsonl, FILE.py.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Model, as the policy of `srl-env eval`.")
    ],
    kwargs: Kwargs = "{}",
    rows: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of rows of a comparison, as evidence; may be repeated."),
    ] = None,
    device: Device = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    **given: Any,
) -> None:
    """Suggest a training method: look at the data, probe the model, print why and how sure."""
    from srl_agents.evaluation.plan import split_maker, taken_split
    from srl_agents.evaluation.suggestion import (
        check_data,
        data_facts,
        evidence_of,
        read_problems,
        recommend,
    )
    from srl_agents.policies.named import read_spec, trained_decoding
    from srl_agents.runs.validation import validated

    compared = {folder: _compared(folder) for folder in rows or []}
    spec, arguments = read_spec(model), json_object(kwargs)
    if "split" in arguments:
        raise BadOption("the split is given by --split, not in --kwargs")
    settings = validated(EvaluationConfig, {**_PROBE, **given}, "")
    split = taken_split(data, arguments, settings.split)
    make_env = split_maker(data, arguments, split)
    env = make_env()
    settings = settings.filled(**trained_decoding(spec.runs))
    policy = spec.load(env, device, settings.seed, server_arguments(base_url, api_key_env))
    problems = read_problems(env)
    facts = data_facts(env, problems)
    check_data(facts)
    _print("The data", facts.lines())
    env.close()
    probe = _probe(policy, make_env, problems, settings)
    _print("The model before training", probe.lines())
    whole = arguments | ({"split": split} if split else {})
    found = recommend(facts, probe)
    for folder, comparison in compared.items():
        measured = evidence_of(comparison, found.methods, str(folder))
        found = replace(found, evidence=(*measured, *found.evidence))
    _show(found, ["-e", data, "-m", model if spec.is_model else "MODEL"], whole)


def _compared(folder: Path) -> Comparison:
    """The comparison in a folder of rows. Raises BadOption for a folder without any."""
    from srl_agents.evaluation.contrasts import Comparison
    from srl_agents.evaluation.rows import read_rows

    found = read_rows(folder)
    if not found:
        raise BadOption(
            f"--rows must be a folder of rows; got {folder}, which has none. Fix: give the folder"
            " OUT/rows of a comparison"
        )
    return Comparison({}, tuple(found))


def _probe(
    policy: Any, make_env: Any, problems: list[Problem], settings: EvaluationConfig
) -> Probe:
    """The probe, on problems with demonstrations if there are any."""
    from tempfile import TemporaryDirectory

    from srl_agents.cli.console import evaluation_bar
    from srl_agents.evaluation.episodes import EPISODES, EpisodeLog
    from srl_agents.evaluation.evaluator import evaluate
    from srl_agents.evaluation.plan import Plan, choose_problems
    from srl_agents.evaluation.suggestion import probe_of
    from srl_env.data import ListSource

    shown = [problem for problem in problems if problem.trajectories]
    source = ListSource(shown or problems, "probe")

    def make() -> ReasoningEnv:
        env: ReasoningEnv = make_env()
        env.problems = source
        return env

    settings = settings.model_copy(update={"similarity": bool(shown)})
    with TemporaryDirectory() as folder, evaluation_bar("probe") as bar:
        log = EpisodeLog(Path(folder) / EPISODES)
        evaluate(policy, make, settings, name="probe", episodes=log, on_progress=bar)
        plan = Plan(choose_problems(source, settings), settings)
        return probe_of({b.kind: [e for _, e in log.read(b.numbers)] for b in plan.blocks})


def _show(found: Recommendation, words: list[str], arguments: Mapping[str, Any]) -> None:
    """Prints the recommendation, its command, its evidence and its scope."""
    _print(f"Suggested method: {' then '.join(found.methods) or 'none yet'}", found.why)
    if found.methods:
        command = ["srl-env", "train", *words]
        if len(found.methods) == 1:
            command += ["--method", found.methods[0]]
        else:
            command += ["--set", f"method={json.dumps(found.methods)}"]
        command += ["--kwargs", json.dumps(dict(arguments))] if arguments else []
        for key, value in found.settings.items():
            command += ["--set", f"{key}={value}"]
        command += ["--set", "budget.updates=200"]
        _print("Command", [shlex.join(command)])
    if not found.evidence:
        _print("Evidence", ["None of our own: no comparison here has measured this case."])
    for each in found.evidence:
        _print("Evidence", [each.found, f"Scope: {each.scope}."])
    if found.methods:
        typer.echo("Evidence from small models and generated problems may not hold for yours. Test")
        typer.echo("the suggestion against sft-rlvr with several seeds: srl-env compare --init")


def _print(title: str, lines: Any) -> None:
    typer.echo(escaped("\n".join([title, *(f"  {line}" for line in lines), ""])))

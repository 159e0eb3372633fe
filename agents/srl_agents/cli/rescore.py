"""``srl-env rescore``, ``difficulty``, ``monitor`` and ``probe``: evaluations looked at again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.boundary import boundary
from srl_agents.cli.options import json_object
from srl_env.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from srl_agents.evaluation.folder import SavedEvaluation
    from srl_agents.evaluation.run import Run
    from srl_agents.evaluation.scoring import EvalResult

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="That srl-env eval wrote.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


app = typer.Typer()

_RESCORE = (
    "[bold]srl-env rescore runs/eval-first-001 --reward-mode hybrid[/]\n\n"
    "[bold]srl-env rescore runs/eval-first-001 --verifier exact -o runs/eval-first-exact[/]"
)


@app.command(epilog=_RESCORE)
@boundary
def rescore(
    folder: Folder,
    reward_mode: Annotated[
        str | None, typer.Option(help="Pays the steps. [each episode's own]")
    ] = None,
    verifier: Annotated[
        str | None,
        typer.Option(
            help="Judges: numeric, boxed, exact, or your own module:Class. [the environment's]"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; else FOLDER-rescored.")
    ] = None,
) -> None:
    """Saved rollouts judged again under another reward mode or verifier, without inference."""
    from srl_agents.cli.console import evaluation_bar, output
    from srl_agents.cli.tables import rescore_table
    from srl_agents.evaluation.episodes import EpisodeFile
    from srl_agents.evaluation.folder import EPISODES, RESULT, SETTINGS, open_evaluation
    from srl_agents.evaluation.rescore import changed_verdicts, step_rewards
    from srl_agents.evaluation.rescore import rescore as judge
    from srl_agents.evaluation.statistics import estimate
    from srl_agents.runs.lock import held
    from srl_env.rewards import get_reward_mode
    from srl_env.seeding import stream

    if reward_mode is not None:
        get_reward_mode(reward_mode)
    judge_by = _verifier(verifier)
    if reward_mode is None and judge_by is None:
        raise BadOption("give --reward-mode, --verifier, or both; or nothing would change")
    saved = open_evaluation(folder)
    out = out or folder.with_name(f"{folder.name}-rescored")
    if (out / SETTINGS).exists():
        raise BadOption(f"{out} holds an evaluation; choose another --out")
    with evaluation_bar("judging") as bar:
        judged = judge(saved, reward_mode=reward_mode, verifier=judge_by, on_progress=bar)
    again = {"from": str(folder), "reward_mode": reward_mode, "verifier": verifier}
    before, after = _result(saved, saved.runs), _result(saved, judged)
    with held(out):
        EpisodeFile(out / EPISODES).add({planned.key: episode for planned, episode in judged})
        _write_json(out / SETTINGS, {**saved.record, "rescored": again})
        _write_json(out / RESULT, after.to_json())
    rng = stream("bootstrap", before.source)
    old, new = (
        {"reward of a step": estimate(step_rewards(runs), rng=rng), **result.estimates()}
        for runs, result in ((saved.runs, before), (judged, after))
    )
    output.print(rescore_table(after.policy, old, new, changed_verdicts(saved.runs, judged)))
    typer.echo(f"Result: {out / RESULT}\nEpisodes: {out / EPISODES}")


_DIFFICULTY = (
    "[bold]srl-env eval -m runs/base/model -e srl/GSM8K-v0 --split train -n 2000 -r 16"
    " -o runs/rated[/]\n\n"
    "[bold]srl-env difficulty runs/rated -b hard -b unsolved -o hard.json[/]\n\n"
    "[bold]srl-env train --config run.toml --set env.problems=hard.json[/]  on those alone"
)


@app.command(epilog=_DIFFICULTY)
@boundary
def difficulty(
    folder: Folder,
    bands: Annotated[
        list[str] | None,
        typer.Option("--band", "-b", help="unsolved, hard, medium or easy; may be repeated."),
    ] = None,
    hard_below: Annotated[float, typer.Option(help="pass@1 of a hard problem.")] = 0.25,
    easy_from: Annotated[float, typer.Option(help="pass@1 of an easy problem.")] = 0.75,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File of the bands' problems, for training.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """How hard problems are for a policy, by how often it solved them; a filter for training."""
    from srl_agents.cli.console import output
    from srl_agents.cli.tables import difficulty_table
    from srl_agents.evaluation.difficulty import check_bands, rate
    from srl_agents.evaluation.folder import open_evaluation

    chosen = bands or ["unsolved", "hard"]
    check_bands(chosen)
    if out is not None and out.exists() and not force:
        raise BadOption(f"{out} exists; choose another, or replace it (--force)")
    found = rate(open_evaluation(folder), hard_below=hard_below, easy_from=easy_from)
    output.print(difficulty_table(found))
    if out is not None:
        count = len(found.of(chosen))
        if not count:
            raise BadOption(f"no problem is {' or '.join(chosen)}; {out} was not written")
        _write_json(out, found.to_json(chosen))
        typer.echo(f"{out}: {count} problems ({', '.join(chosen)})")


_MONITOR = (
    "[bold]srl-env monitor runs/eval-base-001 runs/eval-trained-001[/]  side by side\n\n"
    "Compare with the model that training began from: no number says much by itself."
)


@app.command(epilog=_MONITOR)
@boundary
def monitor(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER…", help="That srl-env eval wrote.")
    ],
    as_json: AsJson = False,
) -> None:
    """Signs of shortcuts: answers repeated, work left out, steps that do not hang together."""
    from srl_agents.cli.console import output
    from srl_agents.cli.tables import monitor_table
    from srl_agents.evaluation.folder import open_evaluation
    from srl_agents.evaluation.monitors import estimates
    from srl_agents.evaluation.monitors import monitor as measure

    found = {
        str(folder): estimates(measure(open_evaluation(folder)), folder.name) for folder in folders
    }
    if as_json:
        plain = {f: {n: asdict(e) for n, e in numbers.items()} for f, numbers in found.items()}
        typer.echo(json.dumps(plain, indent=1))
    else:
        output.print(monitor_table(found))


_PROBE = (
    "[bold]srl-env probe -m Qwen/Qwen2.5-7B-Instruct -e srl/GSM8K-v0 -n 200[/]\n\n"
    "[bold]srl-env probe -m gpt2 --raw -e srl/GSM8K-v0[/]  a model that only continues texts"
)


@app.command(epilog=_PROBE)
@boundary
def probe(
    policy: Annotated[
        str, typer.Option("--policy", "-m", help="As for srl-env eval: a run, a model, openai:…")
    ],
    env: Annotated[str, typer.Option("--env", "-e", help="Environment id.")],
    kwargs: Annotated[
        str, typer.Option(metavar="JSON", help="Arguments of the environment, as JSON.")
    ] = "{}",
    split: Annotated[str, typer.Option(help="Which problems.")] = "test",
    problems: Annotated[int, typer.Option("--problems", "-n", min=2, help="How many.")] = 100,
    shares: Annotated[
        list[float] | None,
        typer.Option("--share", help="Of the question that is shown. [0.4, 0.6, 0.8]"),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Show the beginning alone, without a request.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the problems.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, …")] = None,
    base_url: Annotated[str | None, typer.Option(help="Of a server, for openai:MODEL.")] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the server's key.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file.")] = None,
) -> None:
    """Whether a model has seen the questions: it completes them from their beginnings."""
    from srl_agents.cli.console import evaluation_bar, output
    from srl_agents.cli.tables import probe_table
    from srl_agents.evaluation.probe import SHARES
    from srl_agents.evaluation.probe import probe as complete
    from srl_agents.evaluation.run import EvalSettings, choose_problems, split_maker
    from srl_agents.policies.named import read_spec

    if out is not None and out.exists():
        raise BadOption(f"{out} exists; choose another")
    one = split_maker(env, json_object(kwargs), split)()
    chosen = choose_problems(one.problems, EvalSettings(problems=problems, seed=seed))
    server = {"base_url": base_url, "api_key_env": api_key_env}
    given = {name: value for name, value in server.items() if value is not None}
    loaded = read_spec(policy).load(one, device, seed, given)
    with evaluation_bar(policy) as bar:
        found = complete(
            loaded,  # type: ignore[arg-type]  # it says so itself if it is no model
            [one.problems[index] for index in chosen],
            shares=shares or SHARES,
            raw=raw,
            on_progress=bar,
        )
    one.close()
    output.print(probe_table(policy, found))
    if out is not None:
        _write_json(out, {"policy": policy, "env": env, "probes": [p.to_json() for p in found]})


def _verifier(name: str | None) -> Any:
    if name is None:
        return None
    from srl_env.data.named import named
    from srl_env.data.quality.lint import VERIFIERS

    found = named("verifier", name, {n: made for n, made in VERIFIERS.items() if n != "none"})
    return found() if callable(found) else found


def _result(saved: SavedEvaluation, runs: Sequence[Run]) -> EvalResult:
    """What the episodes of an evaluation are worth."""
    from srl_agents.evaluation.run import group_by_problem
    from srl_agents.evaluation.scoring import (
        EvalResult,
        count_failures,
        count_policy_faults,
        score_episodes,
    )

    env = saved.make_env()
    source = env.problems.name
    env.close()
    groups = group_by_problem(runs)
    everything = [episode for _, episode in runs]
    settings: Mapping[str, Any] = asdict(saved.settings) | {"ks": list(saved.settings.ks)}
    return EvalResult(
        policy=saved.record["policy"],
        env=saved.record["env"],
        source=source,
        problem_ids=tuple(group[0].problem_id for group in groups.get("sampled", [])),
        scores=score_episodes(groups, saved.settings.ks),
        episodes=len(everything),
        failures=count_failures(everything),
        policy_faults=count_policy_faults(everything),
        settings=dict(settings),
        seconds=0.0,
    )


def _write_json(path: Path, data: Any) -> None:
    """The file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)

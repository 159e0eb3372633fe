"""``srl-env rescore``: saved rollouts judged again, without inference."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.options import Folder
from srl_agents.runs.files import write_json
from srl_env.errors import BadOption

if TYPE_CHECKING:
    from srl_agents.evaluation.folder import SavedEvaluation
    from srl_env.rollout import Episode

app = typer.Typer()

_AT_ONCE = 512


@app.command(
    epilog="[bold]srl-env rescore runs/eval-first-001 --reward-mode hybrid[/]\n\n"
    "[bold]srl-env rescore runs/eval-first-001 --verifier exact -o runs/eval-first-exact[/]\n\n"
    "[bold]srl-env rescore runs/eval-first-001 --measure characters --measure numbers[/]"
)
def rescore(
    folder: Folder,
    reward_mode: Annotated[
        str | None, typer.Option(help="Reward mode of the steps. By default each episode's own.")
    ] = None,
    verifier: Annotated[
        str | None,
        typer.Option(
            help="Verifier: numeric, boxed, exact, or your own module:Class. By default the"
            " environment's."
        ),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="Step measures to compare on the same steps: characters, numbers, … or your own"
            " module:function; log-likelihood loads the model that sampled. Give the option several"
            " times."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder to write. By default FOLDER-rescored."),
    ] = None,
) -> None:
    """Judge saved rollouts again: another reward mode, verifier or step measures; no inference."""
    from srl_agents.cli.console import evaluation_bar, output
    from srl_agents.cli.tables import rescore_table
    from srl_agents.evaluation.episodes import EPISODES, EpisodeLog
    from srl_agents.evaluation.folder import SETTINGS, open_evaluation
    from srl_agents.evaluation.rescore import Changes
    from srl_agents.evaluation.rescore import rescore as judge
    from srl_agents.evaluation.results import RESULT, write_result
    from srl_agents.evaluation.scoring import Scores
    from srl_agents.evaluation.statistics import estimate
    from srl_agents.runs.lock import held
    from srl_env.rewards import get_reward_mode
    from srl_env.seeding import stream

    if reward_mode is not None:
        get_reward_mode(reward_mode)
    judge_by = _verifier(verifier)
    if measure:
        if reward_mode is not None or judge_by is not None:
            raise BadOption(
                "--measure must be alone; got --reward-mode or --verifier too. Fix: run rescore"
                " twice"
            )
        _compare(folder, list(dict.fromkeys(measure)), out)
        return
    if reward_mode is None and judge_by is None:
        raise BadOption("rescore needs --reward-mode, --verifier, or --measure; got none of them")
    saved = open_evaluation(folder)
    out = out or folder.with_name(f"{folder.name}-rescored")
    if (out / SETTINGS).exists():
        raise BadOption(f"--out must be a new folder; got {out}, which holds an evaluation")
    before, after, changes = Scores(saved.plan), Scores(saved.plan), Changes()
    again = {"from": str(folder), "reward_mode": reward_mode, "verifier": verifier}
    with held(out), evaluation_bar("judging") as bar:
        log = EpisodeLog(out / EPISODES)
        judged = judge(saved, reward_mode=reward_mode, verifier=judge_by, on_progress=bar)
        while some := list(islice(judged, _AT_ONCE)):
            log.add({planned.number: (planned.kind, new) for planned, _, new in some})
            for planned, old, new in some:
                before.add(planned.kind, planned.number, old)
                after.add(planned.kind, planned.number, new)
                changes.add(planned, old, new)
        names = {"policy": saved.record["policy"], "env": saved.record["env"]}
        was, found = (each.result(**names, source=saved.source) for each in (before, after))
        write_json(out / SETTINGS, {**saved.record, "rescored": again})
        write_result(out, found)
    rng = stream("bootstrap", saved.source)
    one, other = (
        {"reward of a step": estimate(rewards, rng=rng), **result.estimates()}
        for rewards, result in ((changes.before, was), (changes.after, found))
    )
    output.print(rescore_table(found.policy, one, other, changes.changed))
    typer.echo(f"Result: {out / RESULT}\nEpisodes: {out / EPISODES}")


def _compare(folder: Path, measures: list[str], out: Path | None) -> None:
    """Prints how measures agree, and writes every step with its values."""
    import json
    from dataclasses import asdict

    from srl_agents.cli.console import evaluation_bar, output
    from srl_agents.cli.tables import disagreement_table, measure_table
    from srl_agents.evaluation.folder import open_evaluation
    from srl_agents.evaluation.rescore import measure_again
    from srl_agents.runs.files import write_whole
    from srl_env.rewards import OF_TRAINING

    saved = open_evaluation(folder)
    env = saved.make_env()
    for name in measures:
        if name != OF_TRAINING:
            env.find_measure(name)
    env.close()
    by_model = _likelihood(saved) if OF_TRAINING in measures else None
    with evaluation_bar("measuring") as bar:
        found = measure_again(saved, measures, bar, by_model)
    output.print(measure_table(found))
    for i, one in enumerate(measures):
        for other in measures[i + 1 :]:
            table = disagreement_table(found, one, other)
            alike = f"{one} and {other} rank no step differently, of {len(found.steps)}."
            output.print(table if table.row_count else alike)
    out = out or folder.with_name(f"{folder.name}-measures")
    out.mkdir(parents=True, exist_ok=True)
    rows = (json.dumps(asdict(step), ensure_ascii=False) for step in found.steps)
    write_whole(out / "steps.jsonl", "".join(f"{row}\n" for row in rows))
    typer.echo(f"Steps: {out / 'steps.jsonl'}")


def _likelihood(saved: SavedEvaluation) -> Callable[[list[Episode]], list[Episode]]:
    """Adds the part "log-likelihood" by the policy's log-probs, which must be those that sampled.

    Raises BadOption if the policy is not a model on this machine.
    """
    from srl_agents.collection.likelihood import LogLikelihood, model_score
    from srl_agents.policies.named import read_spec
    from srl_agents.policies.transformers import TransformersPolicy
    from srl_env.policy import Sampling

    record, env = saved.record, saved.make_env()
    spec, seed = read_spec(record["policy"]), saved.settings.seed
    policy = spec.load(env, record["device"], seed, record["policy_arguments"])
    env.close()
    if not isinstance(policy, TransformersPolicy):
        raise BadOption(
            "measure 'log-likelihood' needs the log-probs of the model that sampled; got policy"
            f" {record['policy']!r}. Fix: choose other measures, or evaluate a model's folder"
        )
    measure = LogLikelihood(env.format, policy, model_score(policy))
    return lambda episodes: measure.rewarded(episodes, Sampling(saved.settings.temperature))


def _verifier(name: str | None) -> Any:
    if name is None:
        return None
    from srl_env.data.quality.lint import VERIFIERS
    from srl_env.named import named

    found = named("verifier", name, {n: made for n, made in VERIFIERS.items() if n != "none"})
    return found() if callable(found) else found

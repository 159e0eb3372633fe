"""``srl-env rescore``: saved rollouts judged again, without inference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.folders import write_json
from srl_agents.cli.options import Folder
from srl_agents.cli.user_errors import boundary
from srl_env.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srl_agents.evaluation.folder import SavedEvaluation
    from srl_agents.evaluation.run import Run
    from srl_agents.evaluation.scoring import EvalResult


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
        write_json(out / SETTINGS, {**saved.record, "rescored": again})
        write_json(out / RESULT, after.to_json())
    rng = stream("bootstrap", before.source)
    old, new = (
        {"reward of a step": estimate(step_rewards(runs), rng=rng), **result.estimates()}
        for runs, result in ((saved.runs, before), (judged, after))
    )
    output.print(rescore_table(after.policy, old, new, changed_verdicts(saved.runs, judged)))
    typer.echo(f"Result: {out / RESULT}\nEpisodes: {out / EPISODES}")


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
    return EvalResult(
        policy=saved.record["policy"],
        env=saved.record["env"],
        source=source,
        problem_ids=tuple(group[0].problem_id for group in groups.get("sampled", [])),
        scores=score_episodes(groups, saved.settings.ks),
        episodes=len(everything),
        failures=count_failures(everything),
        policy_faults=count_policy_faults(everything),
        settings=saved.settings.model_dump(mode="json"),
        seconds=0.0,
    )

"""What a comparison's runs are given from outside, checked before any of them is started.

A mistake that all runs share is found once, here; what is wrong with some of them only is left
to them, so that the others go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from srl_agents.compare_config import Job
from srl_agents.evaluation import EvalSettings, choose_problems, split_maker
from srl_agents.run_inputs import check_inputs
from srl_agents.seen import check_unseen, training_runs
from srl_env.errors import BadOption, SrlEnvError, UnknownName


def check_jobs(jobs: Sequence[Job]) -> None:
    """Raises what keeps every one of the jobs from being run; the first job's error, if several.

    Quick where all is well: the first job that can be run ends it.
    """
    errors: list[SrlEnvError] = []
    tried: list[object] = []
    for job in jobs:
        given = (job.run.env, job.run.model.path)
        if given in tried:
            continue
        tried.append(given)
        try:
            check_inputs(job.run)
            check_splits(job)
        except SrlEnvError as error:
            errors.append(error)
        else:
            return
    if errors:
        raise errors[0]


def check_splits(job: Job) -> None:
    """Raises BadOption where an evaluation has no such split, or would use problems seen before.

    Seen are those that the comparison trains on, and those in the history of its model.
    """
    settings = job.evaluation.settings(job.run)
    _check_split(job, "evaluation", job.evaluation.split, settings)
    if job.curve.every_s is not None:
        _check_split(job, "curve", job.curve.split, job.curve.settings(settings))


def _check_split(job: Job, section: str, split: str, settings: EvalSettings) -> None:
    trained = job.run.model_copy(update={"out": "this comparison"})  # it has no folder yet
    try:
        with closing(split_maker(job.run.env.id, job.run.env.options, split)()) as env:
            problems = [env.problems[i] for i in choose_problems(env.problems, settings)]
            check_unseen(problems, [trained, *training_runs(job.run.model.path)])
    except (BadOption, UnknownName) as error:
        raise BadOption(f"{section}.split is {split!r}: {error}") from error

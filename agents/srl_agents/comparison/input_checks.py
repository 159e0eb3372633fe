"""Checks of models and splits before any run of a comparison is started.

A mistake that all runs share is found here, once. A mistake of some runs only is reported by those
runs, so that the others continue.
"""

from __future__ import annotations

from collections.abc import Sequence

from srl_agents.comparison.config import Job
from srl_agents.evaluation.plan import split_maker
from srl_agents.evaluation.split import check_split
from srl_agents.models.folder import weights_digest
from srl_agents.runs.input_checks import check_inputs
from srl_env.errors import BadOption, SrlEnvError, UserError


def check_jobs(jobs: Sequence[Job]) -> None:
    """Raises the first error if no job can run. The first job that can run ends the check."""
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


def check_bases(bases: Sequence[str]) -> None:
    """Raises BadOption for two bases with the same weights. A missing base is left to its runs."""
    known: dict[str, str] = {}
    for base in bases:
        digest = weights_digest(base)
        if digest in known:
            raise BadOption(
                f"bases must have different weights; got the same in {known[digest]!r} and"
                f" {base!r}. Fix: remove one, or use more seeds instead"
            )
        if digest:
            known[digest] = base


def check_splits(job: Job) -> None:
    """Raises BadOption for a split that does not exist, or with problems that were trained on.

    These are the problems that the comparison trains on, and those in the history of its model.
    """
    check_split(job.run, job.evaluation, "evaluation", "this comparison")
    if job.curve.every_s is not None:
        settings = job.curve.evaluation(job.evaluation)
        check_split(job.run, settings, "curve", "this comparison")
    for name, elsewhere in job.transfer.items():
        try:
            split_maker(elsewhere.id, elsewhere.options, elsewhere.split)().close()
        except UserError as error:
            raise BadOption(f"transfer.{name}: {error}") from error

"""Checks of models and splits before any run of a comparison is started.

A mistake that all runs share is found here, once. A mistake of some runs only is reported by those
runs, so that the others continue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from srl_agents.comparison.config import Job
from srl_agents.evaluation.split import check_split
from srl_agents.models.folder import check_model
from srl_agents.runs.input_checks import check_inputs
from srl_env.errors import BadOption, SrlEnvError


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
    """Raises BadOption for a base without a model, and for two with the same weights.

    Hub names are not checked.
    """
    known: dict[str, str] = {}
    for base in bases:
        try:
            check_model(base)
        except BadOption as error:
            raise BadOption(f"bases: {error}") from error
        digest = weights_digest(Path(base))
        if digest in known:
            raise BadOption(
                f"bases must have different weights; got the same in {known[digest]!r} and"
                f" {base!r}. Fix: remove one, or use more seeds instead"
            )
        if digest:
            known[digest] = base


def weights_digest(folder: Path) -> str:
    """A digest of the bytes of a model folder's weights; "" for no weights."""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "blake2b").hexdigest())
    return "".join(digests)


def check_splits(job: Job) -> None:
    """Raises BadOption for a split that does not exist, or with problems that were trained on.

    These are the problems that the comparison trains on, and those in the history of its model.
    """
    check_split(job.run, job.evaluation, "evaluation", "this comparison")
    if job.curve.every_s is not None:
        settings = job.curve.evaluation(job.evaluation)
        check_split(job.run, settings, "curve", "this comparison")

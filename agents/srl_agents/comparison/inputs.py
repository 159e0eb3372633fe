"""What a comparison's runs are given from outside, checked before any of them is started.

A mistake that all runs share is found once, here; what is wrong with some of them only is left
to them, so that the others go on.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from srl_agents.comparison.config import Job
from srl_agents.evaluation.plan import choose_problems, split_maker
from srl_agents.models.folder import check_model
from srl_agents.runs.evaluation import EvaluationConfig
from srl_agents.runs.history import check_unseen, training_runs
from srl_agents.runs.input_checks import check_inputs
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


def check_bases(bases: Sequence[str]) -> None:
    """Raises BadOption for a base that holds no model, and for two with the same weights.

    Models of the hub are not looked at.
    """
    seen: dict[str, str] = {}
    for base in bases:
        try:
            check_model(base)
        except BadOption as error:
            raise BadOption(f"bases: {error}") from error
        digest = weights_digest(Path(base))
        if digest in seen:
            raise BadOption(
                f"bases must have different weights; got the same in {seen[digest]!r} and {base!r}."
                " Fix: leave one out, or more seeds in its place"
            )
        if digest:
            seen[digest] = base


def weights_digest(folder: Path) -> str:
    """A digest of a model folder's weights, however they are spread over files; "" for none."""
    found: list[str] = []
    for file in sorted(folder.glob("*.safetensors")):
        found += _tensor_digests(file)
    if not found:
        found = [_digest(file.read_bytes()) for file in sorted(folder.glob("*.bin"))]
    return _digest("\n".join(sorted(found)).encode()) if found else ""


def _tensor_digests(file: Path) -> Iterator[str]:
    """One digest for each tensor: of its name, type, shape and bytes."""
    with file.open("rb") as opened:
        (size,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(size))
        for name, entry in sorted(header.items()):
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                opened.seek(8 + size + begin)
                about = f"{name} {entry['dtype']} {entry['shape']} ".encode()
                yield _digest(about + opened.read(end - begin))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def check_splits(job: Job) -> None:
    """Raises BadOption where an evaluation has no such split, or would use problems seen before.

    Seen are those that the comparison trains on, and those in the history of its model.
    """
    _check_split(job, "evaluation", job.evaluation)
    if job.curve.every_s is not None:
        _check_split(job, "curve", job.curve_evaluation)


def _check_split(job: Job, section: str, settings: EvaluationConfig) -> None:
    trained = job.run.model_copy(update={"out": "this comparison"})  # it has no folder yet
    try:
        with closing(split_maker(job.run.env.id, job.run.env.options, settings.split)()) as env:
            problems = [env.problems[i] for i in choose_problems(env.problems, settings)]
            check_unseen(problems, [trained, *training_runs(job.run.model.path)])
    except (BadOption, UnknownName) as error:
        raise BadOption(f"{section}.split is {settings.split!r}: {error}") from error

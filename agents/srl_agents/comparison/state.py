"""What the folders of a comparison already hold: finished runs as rows, and begun ones."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from srl_agents.comparison.config import JOB, CompareConfig, Job, plan
from srl_agents.evaluation.contrasts import BASE, Comparison, RunOutcome
from srl_agents.evaluation.rows import read_rows
from srl_agents.runs.files import write_json
from srl_agents.runs.settings import Tree
from srl_env.errors import BadOption, UserError

Rows = dict[str, RunOutcome]
"""{name of a run's folder: its row}."""


def saved_rows(folder: Path) -> Rows:
    """The rows in a folder. Raises what ``read_rows`` raises."""
    return {row.folder: row for row in read_rows(folder)}


def saved_comparison(config: CompareConfig) -> Comparison:
    """The comparison from its rows alone. Runs without a row are unfinished."""
    rows = saved_rows(config.rows_folder)
    return made_comparison(config, plan(config), rows, {})


def made_comparison(
    config: CompareConfig, jobs: list[Job], rows: Rows, errors: dict[Path, str]
) -> Comparison:
    """The comparison of all jobs; every curve starts with the base model's point, at 0 seconds."""
    outcomes = [_outcome(job, rows, errors.get(job.folder)) for job in jobs]
    start = {o.base: o.curve for o in outcomes if o.method == BASE}
    return Comparison(
        config.model_dump(mode="json"),
        tuple(
            o if o.method == BASE else replace(o, curve=(*start.get(o.base, ()), *o.curve))
            for o in outcomes
        ),
    )


def is_finished(job: Job, rows: Rows) -> bool:
    """Whether the rows have this very job."""
    row = rows.get(job.folder.name)
    return row is not None and _of_today(row.settings, job) == job.to_json()


def check_same(job: Job, rows: Rows) -> None:
    """Raises BadOption if the job's folder or its row is of a run with other settings.

    The evaluation may be another one: it is made again.
    """
    row = rows.get(job.folder.name)
    begun = _begun(job)
    for place, tree in ((f"the row {job.folder.name}", row and row.settings), (job.folder, begun)):
        before, now = _of_today(tree or job.to_json(), job), job.to_json()
        for part in ("run", "curve"):
            if before[part] != now[part]:
                changed = [key for key in now[part] if before[part].get(key) != now[part][key]]
                raise BadOption(
                    f"{place} holds a run with other settings ({part}: {', '.join(changed)}). Fix:"
                    " choose another folder for out and for rows, or delete it"
                )


def prepare(job: Job) -> None:
    """Makes the job's folder. If its evaluation has changed, the old one is removed."""
    begun = _begun(job)
    if begun is not None and _of_today(begun, job) != job.to_json():
        for folder in job.folder.glob("evaluation*"):
            shutil.rmtree(folder)
    write_json(job.folder / JOB, job.to_json())


def _begun(job: Job) -> Tree | None:
    file = job.folder / JOB
    found: Tree | None = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    return found


def _of_today(settings: Tree, job: Job) -> Tree:
    """Saved settings with the defaults of keys that are newer than they are."""
    try:
        return Job.from_json(settings, job.folder).to_json()
    except UserError:  # of an older version, with keys that no longer exist
        return settings


def _outcome(job: Job, rows: Rows, error: str | None) -> RunOutcome:
    row = rows.get(job.folder.name)
    if error is None and row is not None and is_finished(job, rows):
        return replace(row, folder=str(job.folder))
    return RunOutcome(job.method, job.seed, str(job.folder), error=error, base=job.base)

"""The configuration of a comparison: methods, seeds, and what all of their runs share.

out = "runs/compare"
methods = ["rlvr", "srl-rlvr"]
seeds = [0, 1, 2]
bases = ["runs/base-0/model", "runs/base-1/model"]    # or run.model.path, for one

[run.env]                       # as for a training run
id = "srl/ModularChain-v0"
[run.budget]                    # the same for every method
seconds = 90

[changes.srl-rlvr.train]        # settings of one method
lr = 5e-4

[form.budget]                   # optional: every method starts after the method "form"
seconds = 60

[transfer.words]                # optional: scores where no method was trained
id = "srl/WordProblem-v0"
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from srl_agents.evaluation.contrasts import BASE
from srl_agents.evaluation.rows import ROWS
from srl_agents.methods.shipped import methods
from srl_agents.models.folder import model_folder
from srl_agents.policies.named import trained_decoding
from srl_agents.runs.config import RunConfig, make_config
from srl_agents.runs.evaluation import Count, EvaluationConfig
from srl_agents.runs.section import Section
from srl_agents.runs.settings import Tree, merged, read_tree, with_overrides, without_off
from srl_agents.runs.validation import validated
from srl_env.errors import BadOption, UnknownName, UserError

FORM = "form"
"""The method from whose model the others start, with ``CompareConfig.form``."""

JOB = "job.json"
"""The file in the folder of a run that says what it is."""

INTERRUPTED = 130
"""Exit code of a job that was stopped and has saved its progress."""


class CurveConfig(Section):
    """The small evaluations during training, whose time does not count as training.

    split: Split of the problems.
    problems: Number of problems.
    rollouts: Rollouts of each problem.
    every_s: Seconds of training between two evaluations; "off" for none.
    """

    split: str = "dev"
    problems: Count = 48
    rollouts: Count = 2
    every_s: Annotated[float, Field(gt=0)] | None = 15.0

    def evaluation(self, final: EvaluationConfig) -> EvaluationConfig:
        """The final evaluation on this split, with fewer problems and pass@1 alone."""
        small = {"split": self.split, "problems": self.problems, "rollouts": self.rollouts}
        return final.model_copy(update={**small, "ks": (1,), "greedy": False, "similarity": False})


class TransferConfig(EvaluationConfig):
    """An evaluation at the end of every run on an environment that no run trains in.

    id: A registered environment or a file. options: Its keyword arguments, without the split.
    """

    id: str
    options: dict[str, Any] = Field(default_factory=dict)


class CompareConfig(Section):
    """A comparison of training methods under one budget.

    out: Folder of the comparison.
    rows: Folder of the rows: a Parquet file for each finished run. By default "rows" in ``out``.
    Runs with a row are not made again, so rows can be committed and the rest of ``out`` deleted.
    methods: Registered methods, or names that ``changes`` gives a ``method``.
    run: Settings that all runs share, as for a training run, without out, method and seed.
    seeds: Training seeds of every method.
    bases: Models that every method starts from with every seed, instead of ``run.model.path``.
    jobs: Runs at the same time, each on one thread unless ``run.model.threads`` is set.
    job_minutes: A process saves its run and ends after this long, and the next one resumes it;
    "off" for one process for each run.
    base: Also evaluate the untrained model.
    changes: Settings of single methods, {method: settings}; not the budget, which is the same for
    all.
    form: Settings of a run of the method "form", and its budget. It is made once for each base, and
    every method starts from its model; by default they start from the base itself.
    evaluation: Evaluation at the end of every run.
    curve: Small evaluations during training.
    transfer: Evaluations on environments that no run trains in, {name: settings}.
    """

    out: str
    rows: str | None = None
    methods: Annotated[tuple[str, ...], Field(min_length=1)]
    run: dict[str, Any]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    bases: tuple[Annotated[str, AfterValidator(model_folder)], ...] = ()
    jobs: Count = 1
    job_minutes: Annotated[float, Field(gt=0)] | None = 20.0
    base: bool = True
    changes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    form: dict[str, Any] | None = None
    evaluation: EvaluationConfig = EvaluationConfig()
    curve: CurveConfig = CurveConfig()
    transfer: dict[str, TransferConfig] = Field(default_factory=dict)

    @property
    def rows_folder(self) -> Path:
        """The folder of the rows."""
        return Path(self.out) / ROWS if self.rows is None else Path(self.rows)


class Job(Section):
    """One run of a comparison. train: False for the base model, which is only evaluated.

    base: the base model, if the comparison has several, else "".
    """

    method: str
    seed: int
    folder: Path
    train: bool
    run: RunConfig
    evaluation: EvaluationConfig
    curve: CurveConfig
    base: str = ""
    transfer: dict[str, TransferConfig] = Field(default_factory=dict)

    @property
    def model(self) -> Path:
        """The folder of the model that its training makes."""
        return Path(self.run.out) / "model"

    def to_json(self) -> dict[str, Any]:
        """JSON-safe, without the folder."""
        return self.model_dump(mode="json", exclude={"folder": True, "run": {"out"}})

    @classmethod
    def from_json(cls, data: Tree, folder: Path) -> Job:
        """The job from what ``to_json`` returned, in its folder."""
        run = {**data["run"], "out": str(folder / "run")}
        return validated(cls, {**data, "folder": folder, "run": run}, "")


def make_compare_config(tree: Tree) -> CompareConfig:
    """The comparison in nested dictionaries, with every run checked.

    Raises UnknownName for a key, method or stage that does not exist, BadOption for a value that
    cannot work.
    """
    own = CompareConfig.model_fields
    for name in sorted(tree.keys() - own.keys()):
        if name in RunConfig.model_fields:  # the key of a run, outside the table of the run
            raise UnknownName("configuration key", name, [*own, f"run.{name}"])
    config = validated(CompareConfig, without_off(tree), "")
    plan(config)
    return config


def load_compare_config(path: str | Path, overrides: Iterable[str] = ()) -> CompareConfig:
    """The comparison in a TOML or JSON file, with ``key.key=value`` overrides on top."""
    return make_compare_config(with_overrides(read_tree(path), overrides))


def plan(config: CompareConfig) -> list[Job]:
    """Every run of the comparison: the base models and ``plan_form`` first, then seed by seed on
    every base."""
    _check(config)
    bases = config.bases or ("",)
    jobs = [_job(config, BASE, 0, base, train=False) for base in bases if config.base]
    jobs += plan_form(config)
    jobs += [
        _job(config, method, seed, base, train=True)
        for seed in config.seeds
        for base in bases
        for method in config.methods
    ]
    return jobs


def plan_form(config: CompareConfig) -> list[Job]:
    """The runs from whose models the methods start: one for each base, or none at all."""
    if config.form is None:
        return []
    return [_job(config, FORM, 0, base, train=True) for base in config.bases or ("",)]


def _job(config: CompareConfig, method: str, seed: int, base: str, train: bool) -> Job:
    folder = _folder(config, method, seed, base, train)
    own: dict[str, Any] = {"out": str(folder / "run"), "seed": seed}
    own |= {"method": method if train else "rlvr"}
    own |= {"model": {"path": base}} if base else {}
    if config.form is not None and train and method != FORM:
        formed = _folder(config, FORM, 0, base, train=True)
        own |= {"model": {"path": str(formed / "run" / "model")}}
    threads = {"model": {"threads": 1}} if config.jobs > 1 else {}
    shared = merged(merged(threads, config.run), own)
    if method == FORM and config.form is not None:
        run = _form_config(shared, config.form)
    else:
        run = _run_config(shared, config.changes.get(method, {}), f"changes.{method}")
    decoding = trained_decoding([run])
    return Job(
        method=method,
        seed=seed,
        folder=folder,
        train=train,
        run=run,
        evaluation=config.evaluation.filled(**decoding),
        curve=config.curve,
        base=base,
        transfer={name: each.filled(**decoding) for name, each in config.transfer.items()},
    )


def _folder(config: CompareConfig, method: str, seed: int, base: str, train: bool) -> Path:
    parts = [method, *([base_label(base)] if base else []), *([str(seed)] if train else [])]
    return Path(config.out) / "runs" / "-".join(parts)


def _form_config(shared: Tree, form: Tree) -> RunConfig:
    """The configuration of the run of the method "form"; it has its own budget."""
    rest = {key: value for key, value in shared.items() if key not in ("budget", "train", "stages")}
    return make_config(merged(rest, form), "form")


def base_label(base: str) -> str:
    """A base model's path or name as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", base).strip("_.") or "base"


def _run_config(shared: Tree, changes: Tree, where: str) -> RunConfig:
    """The configuration of a run. An error names the key in ``run`` or in the changes."""
    whole = merged(shared, changes)
    if whole.get("envs"):
        raise BadOption(
            "run.envs: a comparison evaluates on one environment; got several. Fix: set run.env,"
            " or train single runs and compare them with srl-env view"
        )
    try:
        return make_config(whole, "run")
    except UserError as error:
        if changes and str(error) != _mistake(shared):
            make_config(whole, where)  # raises
        raise


def _mistake(tree: Tree) -> str | None:
    """The mistake in what all runs share, or None."""
    try:
        make_config(tree, "run")
    except UserError as error:
        return str(error)
    return None


def _check(config: CompareConfig) -> None:
    """Raises BadOption or UnknownName for names that clash, and for keys that are not the run's."""
    different = {"methods": config.methods, "seeds": config.seeds, "bases": config.bases}
    for name, values in different.items():
        if len({base_label(str(value)) for value in values}) < len(values):
            raise BadOption(f"{name} must differ from each other; got {list(values)}")
    if BASE in config.methods:
        raise BadOption(
            f"methods: {BASE!r} is the name of the untrained model. Fix: base = true evaluates it"
        )
    for method, changes in config.changes.items():
        if method not in (*config.methods, *methods()) and "method" not in changes:
            raise UnknownName("method", method, {*config.methods, *methods()})
    _check_keys("run", config.run, ("out", "seed", "method"), config.bases)
    if config.form is not None:
        _check_keys("form", config.form, ("out", "seed", "method"), config.bases)
        if FORM in config.methods:
            raise BadOption(
                f"methods must not name {FORM!r} where all methods start from it; got it. Fix:"
                " remove it; its scores are part of the results"
            )
    for method, changes in config.changes.items():
        _check_keys(f"changes.{method}", changes, ("out", "seed", "budget"), config.bases)


def _check_keys(where: str, tree: Tree, reserved: Iterable[str], bases: tuple[str, ...]) -> None:
    if bases and "path" in tree.get("model", {}):
        raise BadOption(
            f"{where}.model.path cannot be combined with bases; got {tree['model']['path']!r}."
            " Fix: remove it; every method starts from every one of bases"
        )
    for key in reserved:
        if key in tree:
            fix = "set run.budget, for all methods" if key == "budget" else "remove it"
            raise BadOption(f"{where}.{key} is set by the comparison, not here. Fix: {fix}")

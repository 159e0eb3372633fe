"""What a comparison is made of: methods, seeds, and what all of their runs share.

out = "runs/compare"
methods = ["rlvr", "srl-rlvr"]
seeds = [0, 1, 2]
bases = ["runs/base-0/model", "runs/base-1/model"]    # or run.model.path, for one

[run.env]                       # as for a training run
id = "srl/ModularChain-v0"
[run.budget]                    # the same for every method
seconds = 90

[changes.srl-rlvr.train]        # what one method does otherwise
lr = 5e-4
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from srl_agents.evaluation.contrasts import BASE
from srl_agents.methods.shipped import methods
from srl_agents.policies.named import trained_decoding
from srl_agents.runs.config import RunConfig, make_config
from srl_agents.runs.evaluation import Count, EvaluationConfig
from srl_agents.runs.section import Section
from srl_agents.runs.settings import Tree, merged, read_tree, with_overrides, without_off
from srl_agents.runs.validation import validated
from srl_env.errors import BadOption, UnknownName, UserError


class CurveConfig(Section):
    """The small evaluations during training, whose time does not count as training.

    split: Split of the problems.
    problems: Number of problems.
    rollouts: Rollouts of each problem.
    every_s: Seconds of training between two evaluations; "off" makes none.
    """

    split: str = "dev"
    problems: Count = 48
    rollouts: Count = 2
    every_s: Annotated[float, Field(gt=0)] | None = 15.0

    def evaluation(self, final: EvaluationConfig) -> EvaluationConfig:
        """The evaluation at the end, on this split, with fewer problems and pass@1 alone."""
        small = {"split": self.split, "problems": self.problems, "rollouts": self.rollouts}
        return final.model_copy(update={**small, "ks": (1,), "greedy": False, "similarity": False})


class CompareConfig(Section):
    """A comparison, whole.

    methods: registered methods, or names that ``changes`` gives a ``method``. run: what all runs
    share, as for a training run, without out, method and seed. changes: {method: what its runs
    do otherwise}, unused where a method is not compared; the budget is the same for all.
    bases: models that every method begins from with every seed, in place of run.model.path.
    jobs: runs at the same time, each on one thread unless ``run.model.threads`` says otherwise.
    base: also evaluate the untrained model.
    """

    out: str
    methods: Annotated[tuple[str, ...], Field(min_length=1)]
    run: dict[str, Any]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    bases: tuple[str, ...] = ()
    jobs: Count = 1
    base: bool = True
    changes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    evaluation: EvaluationConfig = EvaluationConfig()
    curve: CurveConfig = CurveConfig()


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a comparison. train: False for the base model, which is only evaluated.

    base: the model it begins from, where the comparison names several in ``bases``, else "".
    """

    method: str
    seed: int
    folder: Path
    train: bool
    run: RunConfig
    evaluation: EvaluationConfig
    curve: CurveConfig
    base: str = ""

    @property
    def curve_evaluation(self) -> EvaluationConfig:
        """The evaluation of each point of the curve."""
        return self.curve.evaluation(self.evaluation)

    def to_json(self) -> dict[str, Any]:
        """JSON-safe; without the folder it lies in."""
        return {
            **({"base": self.base} if self.base else {}),
            "method": self.method,
            "seed": self.seed,
            "train": self.train,
            "run": self.run.model_dump(mode="json", exclude={"out"}),
            "evaluation": self.evaluation.model_dump(mode="json"),
            "curve": self.curve.model_dump(mode="json"),
        }

    @classmethod
    def from_json(cls, data: Tree, folder: Path) -> Job:
        """The job that ``to_json`` was called on, in its folder."""
        return cls(
            method=data["method"],
            seed=data["seed"],
            folder=folder,
            train=data["train"],
            run=make_config({**data["run"], "out": str(folder / "run")}),
            evaluation=EvaluationConfig(**data["evaluation"]),
            curve=CurveConfig(**data["curve"]),
            base=data.get("base", ""),
        )


def make_compare_config(tree: Tree) -> CompareConfig:
    """The comparison in nested dictionaries, checked whole, every run included.

    Raises UnknownName for a key, method or stage that does not exist, BadOption for a value that
    cannot work.
    """
    own = CompareConfig.model_fields
    for name in sorted(tree.keys() - own.keys()):
        if name in RunConfig.model_fields:  # a run's key that stands beside its table
            raise UnknownName("configuration key", name, [*own, f"run.{name}"])
    config = validated(CompareConfig, without_off(tree), "")
    plan(config)
    return config


def load_compare_config(path: str | Path, overrides: Iterable[str] = ()) -> CompareConfig:
    """The comparison in a TOML or JSON file, with ``key.key=value`` overrides on top."""
    return make_compare_config(with_overrides(read_tree(path), overrides))


def plan(config: CompareConfig) -> list[Job]:
    """Every run there is to make, the base models first, then seed by seed on every base."""
    _check(config)
    bases = config.bases or ("",)
    jobs = [_job(config, BASE, 0, base, train=False) for base in bases if config.base]
    jobs += [
        _job(config, method, seed, base, train=True)
        for seed in config.seeds
        for base in bases
        for method in config.methods
    ]
    return jobs


def _job(config: CompareConfig, method: str, seed: int, base: str, train: bool) -> Job:
    parts = [method, *([base_label(base)] if base else []), *([str(seed)] if train else [])]
    folder = Path(config.out) / "runs" / "-".join(parts)
    own: dict[str, Any] = {"out": str(folder / "run"), "seed": seed}
    own |= {"method": method if train else "rlvr"}
    own |= {"model": {"path": base}} if base else {}
    threads = {"model": {"threads": 1}} if config.jobs > 1 else {}
    shared = merged(merged(threads, config.run), own)
    run = _run_config(shared, config.changes.get(method, {}), f"changes.{method}")
    evaluation = config.evaluation.filled(**trained_decoding([run]))
    return Job(method, seed, folder, train, run, evaluation, config.curve, base)


def base_label(base: str) -> str:
    """A base model's path or name as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", base).strip("_.") or "base"


def _run_config(shared: Tree, changes: Tree, where: str) -> RunConfig:
    """What a run is made of; an error names the key where it stands, in ``run`` or the changes."""
    whole = merged(shared, changes)
    try:
        return make_config(whole, "run")
    except UserError as error:
        if changes and str(error) != _mistake(shared):
            make_config(whole, where)  # raises
        raise


def _mistake(tree: Tree) -> str | None:
    """What is wrong with what all runs share, taken alone."""
    try:
        make_config(tree, "run")
    except UserError as error:
        return str(error)
    return None


def _check(config: CompareConfig) -> None:
    for name, values in (("methods", config.methods), ("seeds", config.seeds)):
        if len(set(map(str, values))) < len(values):
            raise BadOption(f"{name} must differ from each other; got {list(values)}")
    labels = {base_label(base): base for base in config.bases}
    if len(labels) < len(config.bases):
        raise BadOption(f"bases must differ from each other; got {list(config.bases)}")
    if BASE in config.methods:
        raise BadOption(f"methods: {BASE!r} is the untrained model's name; set base = true for it")
    for method, changes in config.changes.items():
        if method not in (*config.methods, *methods()) and "method" not in changes:
            raise UnknownName("method", method, {*config.methods, *methods()})
    for where, tree in (("run", config.run), *_named_changes(config)):
        if config.bases and "path" in tree.get("model", {}):
            raise BadOption(
                f"{where}.model.path must be left out where bases are given; got"
                f" {tree['model']['path']!r}. Fix: every method begins from every one of bases"
            )
        for key in ("out", "seed") if where != "run" else ("out", "seed", "method"):
            if key in tree:
                raise BadOption(f"{where}.{key} is set by the comparison; leave it out")
        if where != "run" and "budget" in tree:
            raise BadOption(f"{where}.budget: budgets are equal; set run.budget for all methods")


def _named_changes(config: CompareConfig) -> list[tuple[str, Tree]]:
    return [(f"changes.{method}", tree) for method, tree in config.changes.items()]

"""What a run is made of: pydantic at the edge, checked before anything is loaded.

A configuration is read from TOML (or the ``config.json`` of an earlier run), with dotted
overrides on top::

    config = load_config("run.toml", ["train.lr=3e-4", "stages.srl.objective.temperature=1.2"])

``[train]`` changes every stage of the method that has the field, ``[stages.NAME]`` one of them.
TOML has no word for nothing: ``"off"`` empties a field that may be empty, as in
``stages.srl.until.informative=off`` or ``budget.seconds=off``.
Every mistake is an ``UnknownName`` or ``BadOption`` that names the dotted key.
"""

from __future__ import annotations

import json
import reprlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from srl_agents.methods.stages import GRPO, NLL, Method, Stage, Starts, Until, get_method, methods
from srl_env.errors import BadOption, SrlEnvError, UnknownName

Tree = Mapping[str, Any]
T = TypeVar("T")

_RAY_UNIT = 8  # groups


class Section(BaseModel):
    """A table of a configuration: frozen, without unknown keys, its numbers finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EnvConfig(Section):
    """The environment: a registered id, and keyword arguments for ``srl_env.make``.

    problems: a file of problem ids, as ``srl-env difficulty`` writes it, that alone are trained
    on; None for all.
    """

    id: str
    options: dict[str, Any] = {}
    problems: str | None = None


class LoraConfig(Section):
    """Low-rank adapters through peft, in place of training all weights.

    targets: names of the linear layers, or "all-linear".
    """

    rank: Annotated[int, Field(ge=1)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    targets: str | list[str] = "all-linear"


class ModelConfig(Section):
    """The model: a folder or hub name of a causal language model, and how it is computed.

    device: "auto" takes a GPU where there is one. dtype: of the weights. autocast: matrix
    products in bfloat16 over weights kept in dtype. threads: of torch on CPU, None for its own
    default. gradient_checkpointing: recompute activations to save memory. parallel: what several
    processes hold, where a launcher starts them: each the whole model ("ddp"), or each a part of
    every weight, gradient and optimiser state ("fsdp").
    """

    path: str
    device: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    autocast: bool = False
    lora: LoraConfig | None = None
    threads: Annotated[int | None, Field(ge=1)] = None
    gradient_checkpointing: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"

    @model_validator(mode="after")
    def _weights_that_small_steps_change(self) -> Self:
        if self.dtype == "bfloat16" and self.lora is None:
            raise ValueError(
                "model.dtype: weights trained in bfloat16 lose small updates to rounding; keep"
                " float32 and set model.autocast, or train adapters (model.lora)"
            )
        return self


class PolicyConfig(Section):
    """What samples: the trained model itself, or vLLM with its weights, here or in a server.

    sampler_cap: of stages that set none, where another engine than the trained model samples
    (GRPO's ``sampler_cap``); None trusts the engine's log-probs. rows: completions vLLM samples
    at once. engine: further arguments of ``vllm.LLM``. base_url: of the server for "vllm-server",
    as http://localhost:8000.
    """

    sampler: Literal["transformers", "vllm", "vllm-server"] = "transformers"
    sampler_cap: Annotated[float | None, Field(gt=0)] = 2.0
    rows: Annotated[int, Field(ge=1)] = 256
    engine: dict[str, Any] = {}
    base_url: str | None = None

    @model_validator(mode="after")
    def _a_server_or_none(self) -> Self:
        if self.sampler != "vllm-server":
            if self.base_url is not None:
                raise ValueError(
                    "policy.base_url: only a server has one; set policy.sampler to 'vllm-server'"
                )
        elif self.base_url is None:
            raise ValueError(
                "policy.base_url: the sampler 'vllm-server' needs the server's address, as"
                " http://localhost:8000"
            )
        elif self.engine:
            raise ValueError(
                "policy.engine: a server's options are given to 'vllm serve' where it is started;"
                f" got {', '.join(self.engine)}"
            )
        return self


class RolloutConfig(Section):
    """Who runs the episodes: this process ("local"), or Ray's actors ("ray").

    unit: groups that are rolled out together; with equal ones, one process and any number of
    workers give the same run. None: 8 for ray; for local all at once, which is the fastest there.
    workers: actors, each with a processor, environments and a policy of its own. gpus: of each, a
    share below 1 too. address: of a running cluster, as for ``ray.init``; None starts one here.
    deadline_s: for one unit, and for a worker's start; who misses it is replaced. retries: how
    often a unit whose worker was lost is given to another, before its episodes count as failed.
    """

    engine: Literal["local", "ray"] = "local"
    unit: Annotated[int | None, Field(ge=1)] = None
    workers: Annotated[int, Field(ge=1)] = 2
    gpus: Annotated[float, Field(ge=0)] = 0.0
    address: str | None = None
    deadline_s: Annotated[float, Field(gt=0)] = 1800.0
    retries: Annotated[int, Field(ge=0)] = 2

    @property
    def groups_at_once(self) -> int | None:
        """The size of a unit; None for all groups there are."""
        return self.unit or (_RAY_UNIT if self.engine == "ray" else None)


class BudgetConfig(Section):
    """How long the whole run may be: exactly one of the three.

    seconds: of training, that is sampling, reward, update and probes; checkpoints, logs and
    whatever came before are not counted. tokens: sampled, or for demonstrations trained on.
    """

    updates: Annotated[int | None, Field(ge=1)] = None
    seconds: Annotated[float | None, Field(gt=0)] = None
    tokens: Annotated[int | None, Field(ge=1)] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of updates, seconds, tokens; got {given or 'none'}")
        return self


Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Section):
    """AdamW, new for every stage; the learning rate is the stage's.

    betas: of stages that name none of their own. max_grad_norm: the gradient is scaled down to
    it. micro_batch_tokens: as many tokens go through the model at once; the gradient does not
    depend on it.
    """

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    micro_batch_tokens: Annotated[int, Field(ge=1)] = 4096


class LogConfig(Section):
    """What is written besides ``metrics.jsonl``; 0 turns a thing off.

    rollouts_every: updates between two that write episodes to ``rollouts.jsonl``, at most
    ``rollouts_kept`` of them each. kl_every: updates between two that measure the KL to the
    run's first weights, which keeps a copy of them in memory. warn_after: updates in a row
    without a kept group after which the run warns, with the reason. tracker: also log to it.
    """

    tensorboard: bool = True
    tracker: Literal["wandb", "trackio"] | None = None
    rollouts_every: Annotated[int, Field(ge=0)] = 10
    rollouts_kept: Annotated[int, Field(ge=1)] = 16
    warn_after: Annotated[int, Field(ge=0)] = 5
    kl_every: Annotated[int, Field(ge=0)] = 20


class CheckpointConfig(Section):
    """every: updates between two checkpoints; keep: how many of the last ones stay."""

    every: Annotated[int, Field(ge=1)] = 50
    keep: Annotated[int, Field(ge=1)] = 2


class RunConfig(Section):
    """One training run, whole.

    out: the run's folder. method: a registered name, or a list of stages written out.
    train: changes to every stage that has the field; stages: changes to one, by its name.
    """

    out: str
    env: EnvConfig
    model: ModelConfig
    budget: BudgetConfig
    method: str | list[dict[str, Any]] = "srl-rlvr"
    seed: Annotated[int, Field(ge=0)] = 0
    train: dict[str, Any] = {}
    stages: dict[str, dict[str, Any]] = {}
    policy: PolicyConfig = PolicyConfig()
    rollout: RolloutConfig = RolloutConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    log: LogConfig = LogConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    @model_validator(mode="after")
    def _a_server_and_no_workers(self) -> Self:
        if self.rollout.engine == "ray" and self.policy.sampler == "vllm-server":
            raise ValueError(
                "rollout.engine: Ray's workers do not sample from a server; set policy.sampler to"
                " 'vllm', which gives each an engine, or rollout.engine to 'local'"
            )
        return self

    @cached_property
    def resolved_method(self) -> Method:
        """The method with this configuration's changes to its stages."""
        return _resolved(self, "")


def make_config(tree: Tree, where: str = "") -> RunConfig:
    """The configuration in nested dictionaries, checked whole, its method included.

    where: the dotted place of the tree, for messages. Raises UnknownName for a key, method or
    stage that does not exist, BadOption for a value that cannot work.
    """
    config = validated(RunConfig, without_off(tree), where)
    _ = _resolved(config, where)
    return config


def without_off(tree: Tree) -> dict[str, Any]:
    """The tree with None for "off"; what an environment is given stays as it is."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and key != "env":
            result[key] = without_off(value)
        else:
            result[key] = None if value == "off" else value
    return result


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration in a TOML or JSON file, with ``key.key=value`` overrides on top."""
    return make_config(with_overrides(read_tree(path), overrides))


def read_tree(path: str | Path) -> dict[str, Any]:
    """A TOML or JSON file as nested dictionaries; BadOption where it cannot be read."""
    path = Path(path)
    read = json.loads if path.suffix == ".json" else tomllib.loads
    try:
        tree: object = read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadOption(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start + 1} is 0x{error.object[error.start]:02x}"
        raise BadOption(f"{path}: no UTF-8; {wrong}") from error
    except (ValueError, RecursionError) as error:
        raise BadOption(f"{path}: {error}") from error
    if not isinstance(tree, dict):
        raise BadOption(
            f"{path}: expected a JSON object of keys and values, {{…}}; got {reprlib.repr(tree)}"
        )
    return tree


def with_overrides(tree: Tree, overrides: Iterable[str]) -> dict[str, Any]:
    """The tree with each ``key.key=value`` set in it.

    A value is read as TOML (``3e-4``, ``true``, ``[1, 2]``), and as plain text where it is not.
    """
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            raise BadOption(f"an override is KEY=VALUE, as in train.lr=3e-4; got {override!r}")
        change: Any = _value(value.strip())
        for part in reversed(key.strip().split(".")):
            change = {part: change}
        tree = merged(tree, change)
    return dict(tree)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def merged(tree: Tree, change: Tree) -> dict[str, Any]:
    """The tree with the change's leaves in place of its own."""
    result = dict(tree)
    for key, value in change.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def _resolved(config: RunConfig, where: str) -> Method:
    """The method with the configuration's changes; ``where`` is its place, for messages."""
    method = _method(config.method, _key(where, "method"))
    _check_stage_names(config.stages, method)
    _check_train_keys(config.train, _key(where, "train"))
    cap = None if config.policy.sampler == "transformers" else config.policy.sampler_cap
    stages = (
        _changed(_corrected(stage, cap), _applicable(config.train, stage), own, where)
        for stage in method.stages
        for own in [config.stages.get(stage.name, {})]
    )
    return Method(method.name, tuple(stages))


def _key(where: str, name: str) -> str:
    """The dotted key of a name at a place; the place may be the top, ""."""
    return f"{where}.{name}" if where else name


def _method(method: str | Sequence[Tree], where: str) -> Method:
    if isinstance(method, str):
        return get_method(method)
    stages = [_stage(tree, f"{where}.{index}") for index, tree in enumerate(method)]
    return Method("-".join(stage.name for stage in stages), tuple(stages))


def _stage(tree: Tree, where: str) -> Stage:
    """A stage from nested dictionaries; ``where`` is its dotted place, for messages."""
    parts: dict[str, Any] = dict(tree)
    kinds: dict[str, type[GRPO] | type[NLL]] = {"grpo": GRPO, "nll": NLL}
    for name in ("objective", "starts", "until"):
        if not isinstance(parts.setdefault(name, {}), Mapping):
            raise BadOption(f"{where}.{name} is a table of settings; got {parts[name]!r}")
    objective = parts["objective"]
    kind = objective.get("kind", "grpo")
    if kind not in kinds:
        raise UnknownName("objective", str(kind), kinds)
    parts["objective"] = validated(kinds[kind], objective, f"{where}.objective")
    for name, section in (("starts", Starts), ("until", Until)):
        parts[name] = validated(section, parts[name], f"{where}.{name}")
    return validated(Stage, parts, where)


def _changed(tree: Tree, train: Tree, own: Tree, where: str) -> Stage:
    """The stage with the changes to every stage and its own; errors name those that are wrong."""
    for_all = merged(tree, train)
    try:
        return _stage(merged(for_all, own), _key(where, f"stages.{tree['name']}"))
    except SrlEnvError:
        if train:
            _stage(for_all, _key(where, "train"))  # raises where the mistake is there
        raise


def _corrected(stage: Stage, cap: float | None) -> dict[str, Any]:
    """The stage as a tree, with this cap of the sampler correction where it has none."""
    tree = asdict(stage)
    if isinstance(stage.objective, GRPO) and stage.objective.sampler_cap is None:
        tree["objective"]["sampler_cap"] = cap
    return tree


def _check_stage_names(stages: Tree, method: Method) -> None:
    """UnknownName for a stage that neither this method nor any registered one has.

    Stages of other methods may be there: one configuration then serves to compare methods.
    """
    known = {stage.name for name in methods() for stage in get_method(name).stages}
    known |= {stage.name for stage in method.stages}
    for name in stages:
        if name not in known:
            raise UnknownName("stage", name, known)


def _check_train_keys(train: Tree, where: str) -> None:
    """UnknownName for a key under ``train`` that no kind of stage has.

    BadOption for a value in place of a table.
    """
    known: set[str] = set()
    for objective in (GRPO(), NLL()):
        stage = Stage("any", objective, Starts("prefix"))
        known |= set(_leaves(asdict(stage)))
    known -= {"name", "share", "objective.kind"}
    for key, value in _leaves(train).items():
        if any(name.startswith(f"{key}.") for name in known):
            raise BadOption(f"{where}.{key} is a table of settings; got {value!r}")
        if key not in known:
            raise UnknownName(
                "configuration key", f"{where}.{key}", [f"{where}.{name}" for name in known]
            )


def _applicable(train: Tree, stage: Stage) -> dict[str, Any]:
    """Of the changes to every stage, those whose field this one has."""
    tree = asdict(stage)
    changes: dict[str, Any] = {}
    for key, value in _leaves(train).items():
        if key in _leaves(tree):
            changes = _with_leaf(changes, key, value)
    return changes


def _with_leaf(tree: Tree, key: str, value: Any) -> dict[str, Any]:
    """The tree with ``value`` at a dotted key."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return merged(tree, value)


def _leaves(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """{dotted key: value} of everything in the tree that is not itself a tree."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= _leaves(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def validated(cls: type[T], tree: Tree, where: str) -> T:
    """An instance of the class from nested dictionaries; the first mistake is raised.

    where: the dotted place of the tree, for messages. Raises UnknownName or BadOption.
    """
    _check_finite(tree, where)
    try:
        return TypeAdapter(cls).validate_python(dict(tree))
    except ValidationError as error:
        raise _explained(cls, error, where) from None


def _check_finite(value: object, key: str) -> None:
    """BadOption for an inf or nan anywhere in a tree: a run's config.json could not hold it."""
    if isinstance(value, float) and not isfinite(value):
        raise BadOption(f"{key} is a finite number; got {value}")
    if isinstance(value, Mapping):
        for name, part in value.items():
            _check_finite(part, _key(key, str(name)))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            _check_finite(part, _key(key, str(index)))


_GIVEN_BY = {
    "env": "--env ID (srl-env list)",
    "model": "--model FOLDER",
    "budget": "--seconds N or --set budget.updates=N",
    "run.env": "--set run.env.id=ID (srl-env list)",
    "run.model": "--set run.model.path=FOLDER",
    "run.budget": "--set run.budget.updates=N",
}
"""How the parts that every run needs are given on the command line."""


def _explained(cls: type, error: ValidationError, where: str) -> SrlEnvError:
    """The first of pydantic's complaints in our words, with the dotted key in it."""
    first = error.errors()[0]
    loc = [str(part) for part in first["loc"]]
    key = _key(where, ".".join(loc)) if loc else where
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        parent = key.rpartition(".")[0]
        known = _field_types(cls, loc[:-1])
        return UnknownName("configuration key", key, [_key(parent, name) for name in known])
    if first["type"] == "missing" and loc[-1].isdigit():
        return BadOption(f"{key.rpartition('.')[0]} is too short; got {first['input']!r}")
    if first["type"] in ("missing", "missing_argument"):
        how = _GIVEN_BY.get(key, f"--set {key}=…")
        return BadOption(f"{key} is missing from the configuration; give it there, or with {how}")
    if first["type"] == "value_error":
        cause = str(first["ctx"]["error"])
        if loc and cause.startswith(".".join(loc)):
            return BadOption(_key(where, cause))
        return BadOption(f"{key}: {cause}" if loc else cause)
    if loc[-1] == "str":  # one of the two kinds that a field may be of
        return BadOption(f"{key.removesuffix('.str')} is a text or a list; got {first['input']!r}")
    expected = _expected(cls, first["type"], loc, first["input"])
    said = f"{key} {expected}" if expected else f"{key}: {first['msg'].lower()}"
    return BadOption(f"{said}; got {first['input']!r}")


def _expected(cls: type, complaint: str, loc: Sequence[str], given: object) -> str | None:
    """What a key is, in words of a configuration; None where pydantic's own say it."""
    if complaint in ("model_type", "dataclass_type"):
        *names, last = _field_types(cls, loc)
        return f"is a table with {', '.join(names)} and {last}"
    if complaint in ("tuple_type", "list_type"):
        return f"is a list, as [{given!r}]"
    return {
        "dict_type": "is a table of settings",
        "finite_number": "is a finite number",
        "too_short": "needs at least one",
    }.get(complaint)


def _field_types(cls: Any, loc: Sequence[str]) -> dict[str, Any]:
    """{field: its type} of the section at ``loc`` below the class."""
    hints = get_type_hints(cls)
    names = [f.name for f in fields(cls)] if is_dataclass(cls) else list(cls.model_fields)
    found = {name: hints[name] for name in names}
    if not loc:
        return found
    (section,) = [t for t in _alternatives(found[loc[0]]) if t is not type(None)]
    return _field_types(section, loc[1:])


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)

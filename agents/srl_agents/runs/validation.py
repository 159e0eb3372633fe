"""Values checked by pydantic, whose errors become one line with the dotted key."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import isfinite
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from srl_agents.checked import must_be
from srl_agents.runs.settings import dotted
from srl_env.errors import BadOption, SrlEnvError, UnknownName

if TYPE_CHECKING:
    from srl_agents.runs.settings import Tree


T = TypeVar("T")


def validated(cls: type[T], tree: Tree, where: str) -> T:
    """An instance of the class from nested dictionaries; raises the first mistake.

    where: the dotted place of the tree, for messages. Raises UnknownName or BadOption.
    """
    _check_finite(tree, where)
    try:
        return TypeAdapter(cls).validate_python(dict(tree))
    except ValidationError as error:
        raise explained(cls, error, where) from None


def _check_finite(value: object, key: str) -> None:
    """Raises BadOption for inf or nan anywhere in a tree: JSON cannot hold them."""
    if isinstance(value, float) and not isfinite(value):
        raise BadOption(f"{key} must be a finite number; got {value}")
    if isinstance(value, Mapping):
        for name, part in value.items():
            _check_finite(part, dotted(key, str(name)))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            _check_finite(part, dotted(key, str(index)))


_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_GIVEN_BY = {
    "env": "--env ID (srl-env list)",
    "model": "--model FOLDER",
    "budget": "--seconds N or --set budget.updates=N",
    "run.env": "--set run.env.id=ID (srl-env list)",
    "run.model": "--set run.model.path=FOLDER",
    "run.budget": "--set run.budget.updates=N",
}
"""How the required parts of a run are given on the command line."""


_OTHER_WORDS = {
    "train.lr": "lr learning_rate",
    "train.batch": "batch batch_size train_batch_size per_device_train_batch_size bs",
    "train.warmup": "warmup warmup_ratio warmup_steps",
    "train.schedule": "schedule scheduler lr_scheduler lr_scheduler_type lr_schedule",
    "train.objective.max_tokens": "max_tokens max_new_tokens max_length max_completion_length"
    " response_length max_response_length",
    "train.objective.temperature": "temperature sampling_temperature temp",
    "train.objective.group_size": "group_size num_generations num_samples n_samples rollout_n",
    "train.objective.kl": "kl beta kl_coef kl_coeff kl_beta kl_weight kl_loss_coef",
    "train.objective.entropy": "entropy entropy_coef entropy_coeff ent_coef",
    "train.objective.clip_low": "clip_low clip_range cliprange clip_ratio epsilon",
    "train.objective.clip_high": "clip_high clip_ratio_high epsilon_high",
    "train.objective.passes": "passes num_iterations ppo_epochs",
    "train.objective.reward_mode": "reward_mode reward",
    "train.objective": "objective",
    "train.starts": "starts",
    "train.until": "until",
    "train.auxiliary": "auxiliary",
    "budget.updates": "updates steps num_steps total_steps epochs epoch num_epochs iterations"
    " num_train_epochs budget.max_steps",
    "budget.seconds": "seconds time duration max_time max_seconds",
    "budget.tokens": "budget.max_tokens total_tokens",
    "optimizer.micro_batch_tokens": "micro_batch_tokens gradient_accumulation"
    " gradient_accumulation_steps grad_accum micro_batch_size",
    "optimizer.max_grad_norm": "max_grad_norm grad_clip clip_grad gradient_clipping grad_norm",
    "optimizer.weight_decay": "weight_decay",
    "optimizer.betas": "betas adam_beta1 adam_beta2 beta1 beta2",
    "optimizer.eps": "eps adam_epsilon optimizer.epsilon",
    "model.path": "model.name model.id model_name model_path model_name_or_path base_model",
    "model.device": "device",
    "model.dtype": "dtype torch_dtype precision",
    "model.autocast": "autocast bf16 mixed_precision",
    "model.gradient_checkpointing": "gradient_checkpointing activation_checkpointing",
    "model.lora.rank": "lora_r lora_rank",
    "model.lora.alpha": "lora_alpha",
    "model.lora.targets": "target_modules",
    "model.lora": "lora peft",
    "env.id": "env.name env.env_id env_id env_name environment",
    "env.options": "env.kwargs env.args env.arguments env_kwargs",
    "policy.sampler_correction": "policy.sampler_cap tis importance_sampling_correction",
    "policy.sampler": "sampler use_vllm policy.engine_name policy.backend",
    "rollout.workers": "workers num_workers",
    "rollout.max_staleness": "max_staleness staleness max_off_policy_steps max_async_level"
    " staleness_threshold max_head_offpolicyness",
    "checkpoint.every": "save_every save_steps save_interval",
    "checkpoint.keep": "save_total_limit",
    "log.tracker": "tracker wandb report_to logger",
    "out": "output output_dir out_dir save_dir",
}
"""{key of a run: other names that people try}; a name may include its section."""

_KEYS = {
    word.replace("_", ""): key for key, words in _OTHER_WORDS.items() for word in words.split()
}
_PLACE = re.compile(
    r"(?P<run>(?:run|changes\.[^.]+)\.)?(?P<stage>(?:stages\.[^.]+|method\.\d+)\.)?"
)

_KIND = re.compile(r"(?P<run>(?:run|changes\.[^.]+)\.)?train\.(?P<part>.+)\.kind")
"""A kind that ``train`` cannot set for all stages at once, as they differ."""


def unknown_key(key: str, known: Collection[str]) -> UnknownName:
    """The error for an unknown dotted key. known: the keys that exist at its place."""
    return UnknownName("configuration key", key, known, _meant(key, known))


def _meant(key: str, known: Collection[str]) -> str | None:
    """The key that is probably meant, under another name or in another section."""
    if kind := _KIND.fullmatch(key):
        return f"{kind['run'] or ''}stages.STAGE.{kind['part']}.kind"
    words = key.lower().replace("-", "").replace("_", "").split(".")
    found = _KEYS.get(".".join(words[-2:])) or _KEYS.get(words[-1])
    if found is None:
        return None
    beside = dotted(key.rpartition(".")[0], found.rpartition(".")[2])
    if beside in known:
        return beside
    if words[0] in ("evaluation", "curve"):
        return None
    place = _PLACE.match(key)
    assert place is not None, "both parts are optional"
    run = place["run"] or ("run." if "run" in known else "")
    own = place["stage"] and found.startswith("train.")
    meant = f"{run}{place['stage']}{found.removeprefix('train.')}" if own else f"{run}{found}"
    return None if meant == key else meant


def missing(key: str) -> BadOption:
    """The error for a dotted key without a value."""
    how = _GIVEN_BY.get(key, f"--set {key}=…")
    return BadOption(f"{key} is missing from the configuration. Fix: set it, or pass {how}")


def explained(cls: Any, error: ValidationError, where: str) -> SrlEnvError:
    """The first of pydantic's errors in one line, with the dotted key in it.

    An unknown key comes first: ``model.name`` is why ``model.path`` is missing.
    """
    complaints = error.errors()
    first = next((one for one in complaints if one["type"] in _UNKNOWN), complaints[0])
    loc = [str(part) for part in first["loc"]]
    key = dotted(where, ".".join(loc)) if loc else where
    if first["type"] in _UNKNOWN:
        parent = key.rpartition(".")[0]
        known = _field_types(cls, loc[:-1])
        return unknown_key(key, [dotted(parent, name) for name in known])
    if first["type"] == "missing" and loc[-1].isdigit():
        return BadOption(f"{key.rpartition('.')[0]} is too short; got {first['input']!r}")
    if first["type"] in ("missing", "missing_argument"):
        return missing(key)
    if first["type"] == "value_error":
        cause = str(first["ctx"]["error"])
        if loc and cause.startswith(".".join(loc)):
            return BadOption(dotted(where, cause))
        return BadOption(f"{key}: {cause}" if loc else cause)
    if loc[-1] == "str":  # one of the two types of a field
        return BadOption(
            f"{key.removesuffix('.str')} must be a text or a list; got {first['input']!r}"
        )
    expected = _expected(cls, first["type"], loc, first["input"]) or must_be(first["msg"])
    return BadOption(f"{key} {expected}; got {first['input']!r}")


def _expected(cls: type, complaint: str, loc: Sequence[str], given: object) -> str | None:
    """What a key must be, in a configuration's words; None if pydantic's own words fit."""
    if complaint in ("model_type", "dataclass_type"):
        *names, last = _field_types(cls, loc)
        return f"must be a table with {', '.join(names)} and {last}"
    if complaint in ("tuple_type", "list_type"):
        return f"must be a list, as [{given!r}]"
    return "must be a table of settings" if complaint == "dict_type" else None


def _field_types(cls: Any, loc: Sequence[str]) -> dict[str, Any]:
    """{field: its type} of the section at ``loc`` below the class."""
    hints = get_type_hints(cls)
    names = [f.name for f in fields(cls)] if is_dataclass(cls) else list(cls.model_fields)
    found = {name: hints[name] for name in names}
    if not loc:
        return found
    (section,) = [t for t in _alternatives(found[loc[0]]) if t is not type(None)]
    if get_origin(section) is tuple:  # a list of tables
        return _field_types(get_args(section)[0], loc[2:])
    if get_origin(section) is dict:  # tables with names
        return _field_types(get_args(section)[1], loc[2:])
    return _field_types(section, loc[1:])


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)

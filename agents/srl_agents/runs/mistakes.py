"""Values checked by pydantic, whose complaints become one line with the dotted key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import isfinite
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from srl_agents.runs.settings import dotted
from srl_env.errors import BadOption, SrlEnvError, UnknownName

if TYPE_CHECKING:
    from srl_agents.runs.settings import Tree


T = TypeVar("T")


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
            _check_finite(part, dotted(key, str(name)))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            _check_finite(part, dotted(key, str(index)))


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
    key = dotted(where, ".".join(loc)) if loc else where
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        parent = key.rpartition(".")[0]
        known = _field_types(cls, loc[:-1])
        return UnknownName("configuration key", key, [dotted(parent, name) for name in known])
    if first["type"] == "missing" and loc[-1].isdigit():
        return BadOption(f"{key.rpartition('.')[0]} is too short; got {first['input']!r}")
    if first["type"] in ("missing", "missing_argument"):
        how = _GIVEN_BY.get(key, f"--set {key}=…")
        return BadOption(f"{key} is missing from the configuration; give it there, or with {how}")
    if first["type"] == "value_error":
        cause = str(first["ctx"]["error"])
        if loc and cause.startswith(".".join(loc)):
            return BadOption(dotted(where, cause))
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

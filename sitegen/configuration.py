"""The reference of a run's configuration, from the classes that check it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from srl_agents.comparison.config import CompareConfig
from srl_agents.methods.stages import GRPO, NLL, Stage, Starts, Until
from srl_agents.runs.config import RunConfig

# What [train] changes in every stage and [stages.NAME] in one.
STAGE = {"": Stage, "starts": Starts, "objective (kind = grpo)": GRPO}
STAGE |= {"objective (kind = nll)": NLL, "until": Until}


def configuration() -> str:
    """A section for each table of the file: what its keys mean, their types and defaults."""
    parts = ["## A run", *_section(RunConfig, "")]
    parts.append("## A stage\n\nUnder `[train]` for every stage that has the key, under")
    parts[-1] += " `[stages.NAME]` for one."
    for name, cls in STAGE.items():
        parts += [f"### `{name}`"] if name else []
        parts.append(_table(cls))
    return "\n\n".join([*parts, "## A comparison", *_section(CompareConfig, "")])


def _section(cls: type[BaseModel], prefix: str) -> Iterator[str]:
    """The table of a class, then those of the tables in it."""
    yield _table(cls)
    for name, info in cls.model_fields.items():
        inner = _model_in(info.annotation)
        if inner is not None and inner is not RunConfig:
            yield f"### `[{prefix}{name}]`"
            yield from _section(inner, f"{prefix}{name}.")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The class of a nested table, also where it may be None."""
    options = [annotation, *getattr(annotation, "__args__", ())]
    found = (o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return next(found, None)


def _table(cls: type) -> str:
    """What a class is for, and a row for each of its keys."""
    keys = list(_keys(cls))
    about, meanings = _explained(cls, [name for name, *_ in keys])
    rows = [
        f"| `{name}` | {meanings.get(name, '')} | {type_} | {default} |"
        for name, type_, default in keys
    ]
    return "\n".join([about, "", "| key | meaning | type | default |", "|---|---|---|---|", *rows])


def _explained(cls: type, keys: Sequence[str]) -> tuple[str, dict[str, str]]:
    """A class's docstring: what stands before the first "key: meaning", and {key: meaning}."""
    text = " ".join(inspect.cleandoc(cls.__doc__ or "").split()).replace("``", "`")
    name = "|".join(keys)
    about, *rest = re.split(rf"(?:(?<=[.;] )|^)((?:{name})(?:, (?:{name}))*): ", text)
    meanings = {
        key: meaning.strip().rstrip(";").replace("|", "or")
        for names, meaning in zip(rest[::2], rest[1::2], strict=True)
        for key in names.split(", ")
    }
    return about.strip(), meanings


def _keys(cls: type) -> Iterator[tuple[str, str, str]]:
    if is_dataclass(cls):
        for field in fields(cls):
            yield field.name, _type(str(field.type)), _default(_made(field))
        return
    assert issubclass(cls, BaseModel)
    for name, info in cls.model_fields.items():
        default = MISSING if info.is_required() else info.get_default(call_default_factory=True)
        yield name, _type(inspect.formatannotation(info.annotation)), _default(default)


def _made(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _type(text: str) -> str:
    """A type for people: no module names; what is a table of its own is called one."""
    text = re.sub(r"\b[a-z_]+(?:\.[a-z_]+)*\.(?=[A-Z])", "", text)
    text = re.sub(r"Literal\[(.*?)\]", lambda found: found[1].replace(", ", " or "), text)
    if re.search(r"\b(?:\w+Config|Stage|Starts|Until|GRPO|NLL|EvalSettings)\b", text):
        text = "a table" + (", or nothing" if "None" in text else "")
    return text if text[:7] == "a table" else f"`{text.replace(' | ', ' or ')}`"


def _default(value: Any) -> str:
    if value is MISSING:
        return "needed"
    if is_dataclass(value) or isinstance(value, BaseModel):
        return "its own defaults"
    if value is None:
        return "nothing (`off`)"
    return f"`{value!r}`" if value not in ({}, ()) else "empty"

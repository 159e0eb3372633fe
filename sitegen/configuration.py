"""The reference of a run's configuration, from the classes that check it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, is_dataclass
from typing import Any

from pydantic import BaseModel

from srl_agents.cli.options import Setting, explained, settings_of
from srl_agents.comparison.config import CompareConfig
from srl_agents.methods.mixed.auxiliary import AuxiliaryObjective
from srl_agents.methods.shipped import schedules
from srl_agents.methods.stages import Stage, Starts, Until
from srl_agents.objectives.mixed.rows import GroupRows
from srl_agents.objectives.mixed.terms import LossTerm
from srl_agents.objectives.registry import OBJECTIVES
from srl_agents.runs.config import RunConfig

# What [train] changes in every stage and [stages.NAME] in one.
STAGE: dict[str, type] = {"": Stage, "starts": Starts, "until": Until}
STAGE |= {f"objective (kind = {kind})": cls for kind, cls in OBJECTIVES.items()}
STAGE |= {"objective.rows": GroupRows, "objective.terms (a list)": LossTerm}
STAGE |= {"auxiliary": AuxiliaryObjective}
STAGE |= {f"starts.prefix (kind = {kind})": cls for kind, cls in schedules().items()}


def configuration() -> str:
    """A section for each table of the file: what its keys mean, their types and defaults."""
    parts = ["## A run", *_section(RunConfig, "")]
    parts.append("## A stage\n\nUnder `[train]` for every stage that has the key, under")
    parts[-1] += " `[stages.NAME]` for one."
    for name, cls in STAGE.items():
        parts += [f"### `{name}`"] if name else []
        parts.append(_table(cls, cls.__base__ if cls.__base__ in STAGE.values() else None))
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


def _table(cls: type, beside: type | None = None) -> str:
    """What a class is for, and a row for each of its keys.

    beside: a class whose own table has the other rows.
    """
    known = [] if beside is None else settings_of(beside)
    rows = [
        f"| `{s.name}` | {s.meaning.replace('|', 'or')} | {_type(s.hint)} | {_default(s.default)} |"
        for s in settings_of(cls)
        if s not in known
    ]
    about = explained(cls)[0]
    if known:
        about += f" The other keys are those of `{_default_of(known, 'kind')}`."
    head = [about, "", "| key | meaning | type | default |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]).replace("``", "`")


def _default_of(settings: Sequence[Setting], name: str) -> Any:
    return next(setting.default for setting in settings if setting.name == name)


def _type(hint: Any) -> str:
    """A type for people: no module names; what is a table of its own is called one."""
    text = inspect.formatannotation(hint)
    text = re.sub(r"\b[a-z_]+(?:\.[a-z_]+)*\.(?=[A-Z])", "", text)
    text = re.sub(r"^Optional\[(.*)\]$", r"\1 | None", text)
    text = re.sub(r"Literal\[(.*?)\]", lambda found: found[1].replace(", ", " or "), text)
    if "LossTerm" in text:
        return "a list of tables"
    if re.search(
        r"\b(?:\w+Config|Stage|Starts|Until|\w*Objective|GroupRows|PrefixSchedule|EvalSettings)\b",
        text,
    ):
        text = "a table" + (", or nothing" if "None" in text else "")
    return text if text[:7] == "a table" else f"`{text.replace(' | ', ' or ')}`"


def _default(value: Any) -> str:
    if value is MISSING:
        return "needed"
    if is_dataclass(value) or isinstance(value, BaseModel):
        return "its own defaults"
    if isinstance(value, tuple) and any(map(is_dataclass, value)):
        return "one, with its own defaults"
    if value is None:
        return "nothing (`off`)"
    return f"`{value!r}`" if value not in ({}, ()) else "empty"

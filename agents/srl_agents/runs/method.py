"""The method of a run: a registered one or a list of stages, with the run's changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from itertools import chain
from typing import TYPE_CHECKING, Any

from srl_agents.methods.mixed.auxiliary import AuxiliaryObjective
from srl_agents.methods.prefix import PrefixSchedule
from srl_agents.methods.profile import Profile
from srl_agents.methods.shipped import get_method, methods, schedule_class, schedules
from srl_agents.methods.stages import Method, Stage, Starts, Until
from srl_agents.methods.subset import Diverse
from srl_agents.objectives.choices import SamplerCorrection
from srl_agents.objectives.mixed.rows import GroupRows
from srl_agents.objectives.registry import OBJECTIVES, objective_class
from srl_agents.runs.settings import dotted, leaves, merged, with_leaf
from srl_agents.runs.validation import unknown_key, validated
from srl_env.errors import BadOption, SrlEnvError, UnknownName

if TYPE_CHECKING:
    from srl_agents.runs.settings import Tree


def resolved(
    given: str | Sequence[str | Tree],
    train: Tree,
    changes: Mapping[str, Tree],
    correction: SamplerCorrection | None,
    where: str,
) -> Method:
    """The method with a configuration's changes to every stage (train) and to single ones.

    correction: the ``sampler_correction`` of stages that set none. where: the method's dotted
    place, for messages.
    """
    method = _method(given, dotted(where, "method"))
    _check_stage_names(changes, method)
    _check_train_keys(train, method, dotted(where, "train"))
    stages = (
        _changed(tree, _applicable(train, tree), own, where)
        for stage in method.stages
        for own in [changes.get(stage.name, {})]
        for tree in [_corrected(_of_kind(stage, own, where), correction)]
    )
    return Method(method.name, tuple(stages))


def _method(method: str | Sequence[str | Tree], where: str) -> Method:
    if isinstance(method, str):
        return get_method(method)
    parts = [
        get_method(part).stages if isinstance(part, str) else (_stage(part, f"{where}.{index}"),)
        for index, part in enumerate(method)
    ]
    stages = tuple(chain.from_iterable(parts))
    return Method("-".join(stage.name for stage in stages), stages)


def _stage(tree: Tree, where: str) -> Stage:
    """A stage from nested dictionaries; ``where`` is its dotted place, for messages."""
    parts: dict[str, Any] = dict(tree)
    sections: dict[str, Any] = {"objective": None, "starts": Starts, "until": Until}
    for name, cls in sections.items():
        if not isinstance(given := parts.get(name, {}), Mapping):
            raise BadOption(f"{where}.{name} must be a table of settings; got {given!r}")
        if given.get("prefix") is not None:
            given = {**given, "prefix": _schedule(given["prefix"], f"{where}.{name}.prefix")}
        section = cls or objective_class(str(given.get("kind", "grpo")))
        parts[name] = validated(section, given, f"{where}.{name}")
    if parts.get("auxiliary") is not None:
        parts["auxiliary"] = _auxiliary(parts["auxiliary"], f"{where}.auxiliary")
    return validated(Stage, parts, where)


def _auxiliary(given: Any, where: str) -> AuxiliaryObjective:
    """An auxiliary objective from a dictionary; ``where`` is its dotted place, for messages."""
    if not isinstance(given, Mapping):
        raise BadOption(f"{where} must be a table of settings, or 'off'; got {given!r}")
    objective = given.get("objective", {})
    if not isinstance(objective, Mapping):
        raise BadOption(f"{where}.objective must be a table of settings; got {objective!r}")
    cls = objective_class(str(objective.get("kind", "nll")))
    read = validated(cls, objective, f"{where}.objective")
    return validated(AuxiliaryObjective, {**given, "objective": read}, where)


def _schedule(given: Any, where: str) -> PrefixSchedule:
    """A prefix schedule from a dictionary; ``where`` is its dotted place, for messages."""
    if not isinstance(given, Mapping):
        raise BadOption(f"{where} must be a table of settings, or 'off'; got {given!r}")
    if "kind" not in given:
        raise BadOption(
            f"{where}.kind must name a schedule; got none. Fix: choose one of"
            f" {', '.join(sorted(schedules()))}"
        )
    return validated(schedule_class(str(given["kind"])), given, where)


def _changed(tree: Tree, train: Tree, own: Tree, where: str) -> Stage:
    """The stage with the changes to every stage and its own; errors name the wrong one."""
    for_all = merged(tree, train)
    try:
        return _stage(merged(for_all, own), dotted(where, f"stages.{tree['name']}"))
    except SrlEnvError:
        if train:
            _stage(for_all, dotted(where, "train"))  # raises if the mistake is there
        raise


def _of_kind(stage: Stage, own: Tree, where: str) -> dict[str, Any]:
    """The stage as a tree, its objective of the kind that ``own`` names.

    The new kind has its own defaults. Settings that the stage itself makes differ from those of
    the old kind stay, where the new one has them.
    """
    tree, given = asdict(stage), own.get("objective")
    before = tree["objective"]
    kind = given.get("kind", before["kind"]) if isinstance(given, Mapping) else before["kind"]
    if kind == before["kind"]:
        return tree
    old: Any = type(stage.objective)
    new: Any = objective_class(str(kind))
    names = {field.name for field in fields(new)} - {"kind"}
    defaults = {field.name: field.default for field in fields(old) if field.name in names}
    kept = {name: before[name] for name in defaults if before[name] != defaults[name]}
    place = dotted(where, f"stages.{stage.name}.objective")
    return tree | {"objective": asdict(validated(new, {**kept, "kind": kind}, place))}


def _corrected(tree: dict[str, Any], correction: SamplerCorrection | None) -> dict[str, Any]:
    """The stage's tree with this ``sampler_correction`` if it has none."""
    if tree["objective"].get("sampler_correction", "") is None:
        tree["objective"]["sampler_correction"] = correction
    return tree


def _check_stage_names(stages: Tree, method: Method) -> None:
    """Raises UnknownName for a stage that neither this method nor any registered one has.

    Stages of other methods are allowed, so that one configuration serves several methods.
    """
    known = {stage.name for name in methods() for stage in get_method(name).stages}
    known |= {stage.name for stage in method.stages}
    for name in stages:
        if name not in known:
            raise UnknownName("stage", name, known)


def _check_train_keys(train: Tree, method: Method, where: str) -> None:
    """Raises UnknownName for a key of no stage, BadOption for a value that must be a table."""
    classes = [*OBJECTIVES.values(), *(type(stage.objective) for stage in method.stages)]
    sections: list[tuple[str, Any]] = [
        (f"{place}.", cls) for place in ("objective", "auxiliary.objective") for cls in classes
    ]
    used = (stage.starts.prefix for stage in method.stages)
    schedule_classes = [*schedules().values(), *(type(each) for each in used if each is not None)]
    sections += [("starts.prefix.", cls) for cls in schedule_classes]
    sections += [
        ("", Stage),
        ("starts.", Starts),
        ("until.", Until),
        ("auxiliary.", AuxiliaryObjective),
        ("objective.rows.", GroupRows),
        ("starts.profile.", Profile),
        ("starts.subset.", Diverse),
    ]
    known = {f"{prefix}{field.name}" for prefix, cls in sections for field in fields(cls)}
    known -= {"name", "fraction", "objective.kind", "objective", "starts", "until"}
    known -= {"starts.prefix", "starts.prefix.kind", "objective.rows"}
    known -= {"starts.profile", "starts.subset"}
    known -= {"auxiliary", "auxiliary.objective", "auxiliary.objective.kind"}
    for key, value in leaves(train).items():
        if any(name.startswith(f"{key}.") for name in known):
            raise BadOption(f"{where}.{key} must be a table of settings; got {value!r}")
        if key not in known:
            raise unknown_key(f"{where}.{key}", [f"{where}.{name}" for name in known])


def _applicable(train: Tree, stage: Tree) -> dict[str, Any]:
    """Of the changes to every stage, those whose field this one has."""
    known = leaves(stage)
    changes: dict[str, Any] = {}
    for key, value in leaves(train).items():
        if key in known:
            changes = with_leaf(changes, key, value)
    return changes

"""The methods that ship, and the registry that finds methods by name."""

from __future__ import annotations

from dataclasses import replace

from srl_agents.methods import (
    adaback,
    adaprefix,
    bread,
    form,
    opd,
    opsd,
    pi_distill,
    pivotrl,
    questa,
    r3,
    r3_pooled,
    rlsd,
    rlvr,
    sft,
    srl,
    tailor,
)
from srl_agents.methods.mixed import luffy, prefix_rft, relift, rl_plus, superrl
from srl_agents.methods.prefix import PrefixSchedule
from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.sft import SFT
from srl_agents.methods.srl import SRL
from srl_agents.methods.stages import Method, Stage, Until
from srl_agents.objectives.grpo import GRPO
from srl_env.errors import BadOption
from srl_env.named import named


def get_method(name: str) -> Method:
    """The method of that name, or your own as "module:NAME".

    Raises UnknownName with a suggestion, BadOption for a module without such a method.
    """
    found = named("method", name, _METHODS)
    if not isinstance(found, Method):
        raise BadOption(f"method {name!r} must be a Method; got a {type(found).__name__}")
    return found


def methods() -> list[str]:
    """The names of all methods, sorted."""
    return sorted(_METHODS)


def register_method(method: Method) -> Method:
    """Makes a method known by its name and returns it; ``BadOption`` if the name is taken."""
    if _METHODS.setdefault(method.name, method) != method:
        raise BadOption(f"a method named {method.name!r} exists already; choose another name")
    return method


def schedule_class(kind: str) -> type[PrefixSchedule]:
    """The prefix schedule of that name, or your own as "module:Class".

    Raises UnknownName, and BadOption for a module that cannot be imported or has no schedule.
    """
    found = named("prefix schedule", kind, schedules())
    if not (isinstance(found, type) and issubclass(found, PrefixSchedule)):
        raise BadOption(f"starts.prefix.kind must name a subclass of PrefixSchedule; got {kind!r}")
    return found


def schedules() -> dict[str, type[PrefixSchedule]]:
    """{kind: class} of the prefix schedules of all methods."""
    used = [stage.starts.prefix for method in _METHODS.values() for stage in method.stages]
    return {schedule.kind: type(schedule) for schedule in used if schedule is not None}


HOLISTIC = Stage(
    name="holistic",
    objective=GRPO(reward_mode="holistic", max_tokens=1024, min_std=0.05),
    lr=1e-6,
)


_METHODS = {
    method.name: method
    for method in (
        form.METHOD,
        sft.METHOD,
        rlvr.METHOD,
        srl.METHOD,
        Method("holistic", (HOLISTIC,), "an ablation of SRL, arXiv:2510.25992"),
        Method(
            "sft-rlvr",
            (replace(SFT, fraction=0.3), RLVR),
            "as a baseline to take seriously: arXiv:2604.23747",
        ),
        Method(
            "srl-rlvr",
            (replace(SRL, fraction=0.7, until=Until(informative=0.5)), RLVR),
            "SRL, arXiv:2510.25992; that RLVR begins once groups differ is ours",
        ),
        r3.METHOD,
        r3_pooled.METHOD,
        adaback.METHOD,
        adaprefix.METHOD,
        bread.METHOD,
        questa.METHOD,
        opsd.METHOD,
        rlsd.METHOD,
        pi_distill.METHOD,
        opd.METHOD,
        tailor.METHOD,
        pivotrl.METHOD,
        luffy.METHOD,
        rl_plus.METHOD,
        prefix_rft.METHOD,
        superrl.METHOD,
        relift.METHOD,
    )
}

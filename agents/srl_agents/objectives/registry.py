"""The objectives by the name that a configuration gives: ``objective.kind``."""

from __future__ import annotations

from srl_agents.objectives.base import Objective
from srl_agents.objectives.distillation import Distillation
from srl_agents.objectives.form import Form
from srl_agents.objectives.grpo import GRPO
from srl_agents.objectives.mixed.objective import Mixed
from srl_agents.objectives.nll import NLL
from srl_agents.objectives.pi_distill import PiDistill
from srl_agents.objectives.rlsd import RLSD
from srl_agents.objectives.variants.cispo import CISPO
from srl_agents.objectives.variants.dapo import DAPO
from srl_agents.objectives.variants.dr_grpo import DrGRPO
from srl_agents.objectives.variants.gspo import GSPO
from srl_agents.objectives.variants.maxrl import MaxRL
from srl_agents.objectives.variants.rloo import RLOO
from srl_env.errors import BadOption
from srl_env.named import named

OBJECTIVES: dict[str, type[Objective]] = {
    "grpo": GRPO,
    "dr-grpo": DrGRPO,
    "dapo": DAPO,
    "gspo": GSPO,
    "cispo": CISPO,
    "rloo": RLOO,
    "maxrl": MaxRL,
    "mixed": Mixed,
    "distillation": Distillation,
    "rlsd": RLSD,
    "pi-distill": PiDistill,
    "form": Form,
    "nll": NLL,
}


def objective_class(kind: str) -> type[Objective]:
    """The class of that name, or your own as "module:Class".

    Raises UnknownName, and BadOption for a module that cannot be imported or has no objective.
    """
    found = named("objective", kind, OBJECTIVES)
    if not (isinstance(found, type) and issubclass(found, Objective)):
        raise BadOption(f"objective.kind must name a subclass of Objective; got {kind!r}")
    return found

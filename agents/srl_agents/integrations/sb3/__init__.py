"""Agents of stable-baselines3 in reasoning environments: they choose among candidate steps.

``CandidateSteps`` and the encoders need no stable-baselines3 and serve any agent with discrete
actions; ``ScorerPolicy``, ``MaskableScorerPolicy`` and ``SB3Policy`` need the extra ``sb3``.

    proposals → candidates (with an encoding) → scorer, trained by PPO → chooser
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from srl_agents.integrations.sb3.candidates import CandidateSteps
from srl_agents.integrations.sb3.encoding import Encoder, HashedNgrams, SentenceEncoder
from srl_agents.integrations.sb3.proposals import ExpertAmongOthers, PolicySamples, Proposer
from srl_env.errors import MissingExtra

if TYPE_CHECKING:
    from srl_agents.integrations.sb3.chooser import SB3Policy, load_chooser, save_chooser
    from srl_agents.integrations.sb3.scorer import MaskableScorerPolicy, ScorerPolicy

__all__ = [
    "CandidateSteps",
    "Encoder",
    "ExpertAmongOthers",
    "HashedNgrams",
    "MaskableScorerPolicy",
    "PolicySamples",
    "Proposer",
    "SB3Policy",
    "ScorerPolicy",
    "SentenceEncoder",
    "load_chooser",
    "save_chooser",
]

_LAZY = {
    "SB3Policy": "chooser",
    "load_chooser": "chooser",
    "save_chooser": "chooser",
    "ScorerPolicy": "scorer",
    "MaskableScorerPolicy": "scorer",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_LAZY[name]}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("stable_baselines3", "sb3_contrib", "torch"):
            raise
        raise MissingExtra(package, "sb3") from None
    return getattr(module, name)

"""Adapters for trainers and agents of others: TRL, verl, verifiers, stable-baselines3.

Each needs the extra of its name, when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.integrations.rows import RowsDropped, StepRewardsSpread
    from srl_agents.integrations.sb3 import (
        CandidateSteps,
        Encoder,
        ExpertAmongOthers,
        HashedNgrams,
        MaskableScorerPolicy,
        PolicySamples,
        Proposer,
        SB3Policy,
        ScorerPolicy,
        SentenceEncoder,
        load_chooser,
        save_chooser,
    )
    from srl_agents.integrations.trl import TRLTask, TRLTools
    from srl_agents.integrations.verifiers import SRLTaskset, SRLVerifiersEnv
    from srl_agents.integrations.verl import SRLAgentLoop, write_rows

__all__ = [
    "CandidateSteps",
    "Encoder",
    "ExpertAmongOthers",
    "HashedNgrams",
    "MaskableScorerPolicy",
    "PolicySamples",
    "Proposer",
    "RowsDropped",
    "SB3Policy",
    "SRLAgentLoop",
    "SRLTaskset",
    "SRLVerifiersEnv",
    "ScorerPolicy",
    "SentenceEncoder",
    "StepRewardsSpread",
    "TRLTask",
    "TRLTools",
    "load_chooser",
    "save_chooser",
    "write_rows",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "trl": ("TRLTask", "TRLTools"),
        "verl": ("SRLAgentLoop", "write_rows"),
        "verifiers": ("SRLTaskset", "SRLVerifiersEnv"),
        "rows": ("RowsDropped", "StepRewardsSpread"),
        "sb3": (
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
        ),
    },
)

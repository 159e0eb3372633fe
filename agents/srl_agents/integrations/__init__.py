"""Adapters for other trainers and agents: TRL, verl, verifiers, stable-baselines3.

Each needs the extra of its name on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.integrations.rows import RowsDropped, StepRewardsSpread
    from srl_agents.integrations.sb3.candidates import CandidateSteps
    from srl_agents.integrations.sb3.chooser import SB3Policy, save_chooser
    from srl_agents.integrations.sb3.encoding import Encoder, HashedNgrams, SentenceEncoder
    from srl_agents.integrations.sb3.proposals import ExpertAmongOthers, PolicySamples, Proposer
    from srl_agents.integrations.sb3.scorer import MaskableScorerPolicy, ScorerPolicy
    from srl_agents.integrations.taskset import SRLTaskset, SRLVerifiersEnv
    from srl_agents.integrations.trl.task import TRLTask
    from srl_agents.integrations.trl.tools import TRLTools
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
    "save_chooser",
    "write_rows",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "rows": ("RowsDropped", "StepRewardsSpread"),
        "sb3.candidates": ("CandidateSteps",),
        "sb3.chooser": ("SB3Policy", "save_chooser"),
        "sb3.encoding": ("Encoder", "HashedNgrams", "SentenceEncoder"),
        "sb3.proposals": ("ExpertAmongOthers", "PolicySamples", "Proposer"),
        "sb3.scorer": ("MaskableScorerPolicy", "ScorerPolicy"),
        "taskset": ("SRLTaskset", "SRLVerifiersEnv"),
        "trl.task": ("TRLTask",),
        "trl.tools": ("TRLTools",),
        "verl": ("SRLAgentLoop", "write_rows"),
    },
)

"""ReLIFT: GRPO, and a step of fine-tuning as soon as enough problems were failed by a whole group.

    every update:          −min(ρ·A, clip(ρ)·A)     GRPO on all groups whose rewards differ
    128 problems are held: −log π                   on their demonstrations; then they leave

Source: arXiv:2506.07527. The paper subtracts an entropy term from the second loss, and its code has
another optimiser for it; here it has none, and both share one. A problem is held if the verifier
rejects all of its episodes; the paper asks whether all rewards are 0.
"""

from __future__ import annotations

from dataclasses import replace

from srl_agents.methods.mixed.auxiliary import AuxiliaryObjective
from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Method

METHOD = Method(
    "relift",
    (replace(RLVR, auxiliary=AuxiliaryObjective(held=128, lr=5e-6)),),
    "ReLIFT, arXiv:2506.07527",
)

"""π-Distill: the policy with the solution in its prompt, and the policy without, learn together.

π_T and π_S are the same weights in two prompts. On completions y of π_T with reward R,

    J = α·J_T + (1 − α)·J_S,
    J_T = E[ R ] − β·KL(π_T ‖ sg π_S),
    J_S = E[ (π_S / sg π_T)·R ] − β·KL(sg π_T ‖ π_S).

R becomes a group's advantage, and both ratios are clipped, as in GRPO. KLs are estimated from the
sampled tokens: KL(sg π_T ‖ π_S) by log π_T − log π_S, whose gradient is that of the likelihood of
π_T's completions; KL(π_T ‖ sg π_S) by (log π_T − log π_S)²/2.

Source: arXiv:2602.04942, with α = 1/2, the most stable one; the expert's actions suffice, without
thoughts. The value of β, the estimates and the wording of the hint are ours.
"""

from __future__ import annotations

from dataclasses import replace

from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Method
from srl_agents.objectives.pi_distill import PiDistill

METHOD = Method(
    "pi-distill",
    (replace(RLVR, name="pi-distill", objective=PiDistill()),),
    "π-Distill, arXiv:2602.04942",
)

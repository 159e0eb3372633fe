"""RLSD: the verifier says whether a completion was good; the solution, which tokens mattered.

With Δ_t = sg(log P_T(ŷ_t) − log P_S(ŷ_t)), where T is the policy that sees the solution,

    w_t = exp(sign(A)·Δ_t),   Â_t = A·((1 − λ) + λ·clip(w_t, 1 − ε, 1 + ε)),

and GRPO on Â. λ falls linearly to 0, where Â = A. Since w > 0, the teacher never decides in which
direction a token is pushed, so the solution does not leak into the gradient's direction.

Source: Self-Distilled RLVR, arXiv:2604.03128; λ = 0.5 at first and ε = 0.2. It anneals over 50
updates; here over half of the stage's budget. The wording of the hint is ours.
"""

from __future__ import annotations

from dataclasses import replace

from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Method
from srl_agents.objectives.rlsd import RLSD

METHOD = Method("rlsd", (replace(RLVR, name="rlsd", objective=RLSD()),), "RLSD, arXiv:2604.03128")

"""RL-PLUS: demonstrations in each group, with a bounded ratio and a bonus for unlikely tokens.

    own rows:     −min(ρ·A, clip(ρ)·A)                               as in GRPO
    expert rows:  −2π / (π_ω + π_old) · (1 − sg π)^γ · A,  π_ω = (π_old + 1) / 2

π_ω stands for the expert's probabilities, which are unknown: half the old policy, half certainty.
Source: arXiv:2508.00222; π_ω and γ = 0.5 are those of its code, which takes the mean and the std of
the own rewards alone. Here the demonstration's reward counts in both. ``weight`` = 1/8 is one row
of eight; there, one sum over all tokens is divided by one number.
"""

from __future__ import annotations

from dataclasses import replace

from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Method
from srl_agents.objectives.mixed.objective import Mixed
from srl_agents.objectives.mixed.rows import GroupRows
from srl_agents.objectives.mixed.terms import LossTerm

RL_PLUS = Mixed(
    rows=GroupRows("compared"),
    terms=(LossTerm(), LossTerm(rows="expert", ratio="mixture", gamma=0.5, weight=0.125)),
)

METHOD = Method("rl-plus", (replace(RLVR, objective=RL_PLUS),), "RL-PLUS, arXiv:2508.00222")

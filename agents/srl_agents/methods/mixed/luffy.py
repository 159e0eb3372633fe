"""LUFFY: a demonstration is a member of each group, and its unlikely tokens are learned faster.

    own rows:     −min(ρ·A, clip(ρ)·A)                 as in GRPO
    expert rows:  −f(π)·A,  f(x) = x / (x + 0.1)       no clip, no probability of the expert

A compares a reward with all rewards of the group, the demonstration's included. So a group of
failures learns from the demonstration alone, and a group of successes hardly at all.
Source: arXiv:2504.14945. There, one sum over the tokens of seven own rows and one demonstration is
divided by one number. Here each term is the mean over its own tokens; ``weight`` = 1/8 is one row
of eight.
"""

from __future__ import annotations

from dataclasses import replace

from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Method
from srl_agents.objectives.mixed.objective import Mixed
from srl_agents.objectives.mixed.rows import GroupRows
from srl_agents.objectives.mixed.terms import LossTerm

LUFFY = Mixed(
    rows=GroupRows("compared"),
    terms=(LossTerm(), LossTerm(rows="expert", ratio="shaped", gamma=0.1, weight=0.125)),
)

METHOD = Method("luffy", (replace(RLVR, objective=LUFFY),), "LUFFY, arXiv:2504.14945")

"""PivotRL: GRPO on single steps after those expert prefixes at which the policy may go wrong.

Every step of an expert trajectory is a candidate. A group of G = 8 is sampled at each, and

    D = {s : σ̂²(s) > 0 and μ̂(s) < τ}        (pivots)

are trained on: at the others the advantages are 0, or there is little left to learn. A step is
rewarded with 1 if it is acceptable (``accepts``), whether or not it is the expert's.
Source: arXiv:2603.21383. The paper profiles with the first policy and profiles again when rewards
saturate. Here the current policy profiles, at most ``candidates`` steps at a time, and again when
less than ``renew`` of the pivots still are. Both numbers and the value of τ are ours.
"""

from __future__ import annotations

from dataclasses import replace

from srl_agents.methods.profile import Profile
from srl_agents.methods.srl import SRL
from srl_agents.methods.stages import Method, Stage, Starts
from srl_agents.objectives.grpo import GRPO

PIVOTS: Stage = replace(
    SRL,
    name="pivots",
    objective=GRPO(reward_mode="srl", measure="accepts", max_steps=1),
    starts=Starts(at="prefix", profile=Profile()),
)

METHOD = Method("pivotrl", (PIVOTS,), "PivotRL, arXiv:2603.21383")

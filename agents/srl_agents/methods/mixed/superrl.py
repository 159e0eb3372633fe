"""SuperRL: policy gradient where any episode of a group is correct, else imitation.

    any correct:  −min(ρ·A, clip(ρ)·A) on the own rows    as in GRPO
    all failed:   −log π on the demonstration

Source: arXiv:2506.01096. The paper asks whether any reward is not 0; here the verifier's verdicts
decide, as a reward of 0 can have other reasons. Each of the two is the mean over its own tokens in
the batch.
"""

from __future__ import annotations

from dataclasses import replace

from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Method
from srl_agents.objectives.mixed.objective import Mixed
from srl_agents.objectives.mixed.rows import GroupRows
from srl_agents.objectives.mixed.terms import LossTerm

SUPERRL = Mixed(
    rows=GroupRows("beside"),
    terms=(LossTerm(when="any-correct"), LossTerm("nll", rows="expert", when="all-failed")),
)

METHOD = Method("superrl", (replace(RLVR, objective=SUPERRL),), "SuperRL, arXiv:2506.01096")

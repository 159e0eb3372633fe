"""The format alone, before anything is rewarded."""

from __future__ import annotations

from srl_agents.methods.stages import Method, Stage, Starts, Until
from srl_agents.objectives.form import Form

FORM = Stage(
    name="form",
    objective=Form(),
    starts=Starts(at="prefix"),
    batch=32,
    lr=1e-5,
    until=Until(reward=0.9, reward_updates=2),
)

METHOD = Method(
    "form",
    (FORM,),
    "imitates its own accepted samples, as RAFT, arXiv:2304.06767; the format as what accepts them,"
    " and the examples, are ours",
)

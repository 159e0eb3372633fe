"""SRL: one step after each expert prefix, rewarded by its similarity to the expert's."""

from __future__ import annotations

from srl_agents.methods.stages import Method, Stage, Starts
from srl_agents.objectives.grpo import GRPO

SRL = Stage(
    name="srl",
    objective=GRPO(reward_mode="srl", max_steps=1, min_std=0.05),
    starts=Starts(at="prefix"),
    batch=64,
    lr=1e-6,
)

METHOD = Method("srl", (SRL,), "SRL, arXiv:2510.25992")

"""RLVR: GRPO on the verifier's reward, from the problem on."""

from __future__ import annotations

from srl_agents.methods.stages import Method, Stage
from srl_agents.objectives.grpo import GRPO

RLVR = Stage(name="rlvr", objective=GRPO(reward_mode="rlvr"), lr=1e-6)

METHOD = Method("rlvr", (RLVR,), "GRPO, arXiv:2402.03300; the name from Tülu 3, arXiv:2411.15124")

"""Supervised fine-tuning on the expert's steps."""

from __future__ import annotations

from srl_agents.methods.stages import Method, Stage, Starts
from srl_agents.objectives.nll import NLL

SFT = Stage(
    name="sft",
    objective=NLL(),
    starts=Starts(at="prefix"),
    batch=64,
    lr=5e-6,
    schedule="cosine",
    warmup=0.3,
)

METHOD = Method("sft", (SFT,), "a baseline of SRL, arXiv:2510.25992")

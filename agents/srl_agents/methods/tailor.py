"""Tailor: fine-tuning on demonstrations of diverse primitives, then RLVR.

    S ← S ∪ {argmax_d min_{s ∈ S} (1 − similarity(primitives(d), primitives(s)))}

What a policy has seen before RL decides how much of the solutions RL can reach. A few
demonstrations that differ cover more than as many that are alike.
Source: arXiv:2511.12429 trains first on demonstrations that cover diverse reasoning primitives,
which language models find and write for it. Here demonstrations are chosen from those that the data
has. What a primitive is, and the rule of choice, farthest first, are ours: ``methods.subset``.
"""

from __future__ import annotations

from dataclasses import replace

from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.sft import SFT
from srl_agents.methods.stages import Method, Starts
from srl_agents.methods.subset import Diverse

METHOD = Method(
    "tailor",
    (replace(SFT, starts=Starts(at="prefix", subset=Diverse()), fraction=0.3), RLVR),
    "Tailor, arXiv:2511.12429",
)

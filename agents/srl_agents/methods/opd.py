"""OPD: the policy learns from a teacher on its own completions.

On the policy's own completions ŷ,

    L = E[ (1/|ŷ|) Σ_n D( p_S(· | x, ŷ_<n), p_T(· | x, ŷ_<n) ) ],

with the reverse KL(S ‖ T) as D. Estimated from the sampled tokens, its gradient is that of a policy
gradient with log p_T − log p_S as the advantage of each token.

``objective.teacher`` names the teacher: a checkpoint of the same tokenizer, or the address of a
vLLM server that serves one. A checkpoint can also give distributions (``full_vocabulary``).

Source: arXiv:2306.13649 (GKD) and https://thinkingmachines.ai/blog/on-policy-distillation/.
"""

from __future__ import annotations

from srl_agents.methods.stages import Method, Stage
from srl_agents.objectives.distillation import Distillation

OPD = Stage(
    name="opd",
    objective=Distillation(
        teacher=None, hint=0.0, divergence="reverse", full_vocabulary=False, group_size=2
    ),
    lr=5e-6,
)

METHOD = Method("opd", (OPD,), "GKD, arXiv:2306.13649")

"""OPSD: the policy learns from itself, where it sees the expert's solution.

On the policy's own completions ŷ of problems x with a solution y*, and without a reward,

    L = E[ (1/|ŷ|) Σ_n D( p_T(· | x, y*, ŷ_<n) ‖ p_S(· | x, ŷ_<n) ) ],

with the gradient through p_S alone. D sums over the vocabulary: KL(T ‖ S), KL(S ‖ T), or JSD.
p_T is the policy as it was at the beginning of the run.

Source: On-Policy Self-Distillation, arXiv:2601.18734. Its code has ``divergence_clip`` 0.05, which
limits style words, and one completion per problem; a group here has at least two. Later work finds
that the solution leaks and the score peaks early (arXiv:2604.03128), and that it helps only where
the hint teaches something general (arXiv:2605.11182). The wording of the hint is ours.
"""

from __future__ import annotations

from srl_agents.methods.stages import Method, Stage
from srl_agents.objectives.distillation import Distillation

OPSD = Stage(name="opsd", objective=Distillation(teacher="start", hint=1.0, group_size=2), lr=5e-6)

METHOD = Method("opsd", (OPSD,), "OPSD, arXiv:2601.18734")

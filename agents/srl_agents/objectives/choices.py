"""Named choices that settings and formulas share."""

from __future__ import annotations

from typing import Literal

Scale = Literal["std", "none", "leave-one-out", "mean"]
"""What an advantage is divided by; see ``srl_agents.objectives.advantage``."""

SamplerCorrection = Literal["token-tis", "token-mis", "sequence-tis", "sequence-mis"]
"""How a sampler with other log-probs is corrected for; see ``srl_agents.objectives.loss``."""

Grouping = Literal["step", "episode"]
"""What is compared with what; see ``srl_agents.objectives.groups``."""

Aggregation = Literal["sequence", "token", "constant"]
"""How a batch's tokens are averaged; see ``srl_agents.objectives.loss``."""

Label = Literal["answer", "majority", "wrong"]
"""What a final answer is compared with; see ``srl_agents.objectives.labels``."""

Need = Literal["demonstrations", "thoughts", "verifier", "teacher", "step checker"]
"""What a method may need: problems with expert trajectories, with the expert's thoughts, or with an
answer that the verifier can judge by; the name of a teacher; an environment that checks steps."""

Divergence = Literal["forward", "reverse", "jsd"]
"""How a policy is compared with a teacher; see ``srl_agents.objectives.divergence``."""

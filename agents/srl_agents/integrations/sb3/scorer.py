"""The network that scores candidates one by one, as a policy for PPO and for MaskablePPO.

    PPO(ScorerPolicy, env)        MaskablePPO(MaskableScorerPolicy, env)

One network reads each candidate together with the state and returns its logit. What is learned
about a step therefore holds in every place. SB3's own policies have one output per place and
learn almost nothing here.
"""

from __future__ import annotations

from typing import Any

from gymnasium.spaces import Dict

from srl_env.errors import BadOption
from srl_env.lazy import optional_import

with optional_import("sb3", "stable_baselines3", "sb3_contrib", "torch"):
    import torch
    from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
    from stable_baselines3.common.policies import MultiInputActorCriticPolicy
    from torch import Tensor, nn

_NEVER = -1e8
_FIRST_LOGITS = 0.01


class CandidateScorer(nn.Module):
    """Logits of k candidates, and the features of the value.

    Reads flat observations (B, k·c + k + s): candidates, mask and state. SB3 joins the entries
    of ``CandidateSteps`` in this order.
    """

    def __init__(self, space: Dict, width: int = 64) -> None:
        """space: of the observations. width: of all layers.

        Raises BadOption if the space is not that of ``CandidateSteps``.
        """
        super().__init__()
        _check_space(space)
        sizes = {name: int(part.shape[0]) for name, part in space.spaces.items() if part.shape}
        self.k, self.state_size = sizes["mask"], sizes["state"]
        self.columns = sizes["candidates"] // self.k
        self.read_state = nn.Linear(self.state_size, width)
        self.read_candidate = nn.Linear(self.columns, width)
        self.fit = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU())
        self.score = nn.Linear(width, 1)
        self.latent_dim_pi, self.latent_dim_vf = self.k, 3 * width

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, k), very low where the mask is 0; value features (B, 3·width), from the
        state and from the mean and the maximum over its candidates."""
        sizes = [self.k * self.columns, self.k, self.state_size]
        flat, mask, state = torch.split(features, sizes, dim=-1)
        there = mask > 0.5
        known, table = self.read_state(state), flat.reshape(-1, self.k, self.columns)
        steps, before = self.read_candidate(table), known.unsqueeze(-2)
        pairs = torch.cat([steps, steps + before, steps * before], -1)  # (B, k, 3·width)
        fits = self.fit(pairs) * there.unsqueeze(-1)
        logits = torch.where(there, self.score(fits).squeeze(-1), _NEVER)
        mean = fits.sum(-2) / there.sum(-1, keepdim=True).clamp(min=1)
        return logits, torch.cat([torch.relu(known), mean, fits.amax(-2)], -1)

    def forward_actor(self, features: Tensor) -> Tensor:
        """The logits."""
        return self.forward(features)[0]

    def forward_critic(self, features: Tensor) -> Tensor:
        """The features of the value."""
        return self.forward(features)[1]


class _Scoring:
    """Makes an actor-critic policy of SB3 score candidates."""

    device: Any
    observation_space: Any
    optimizer_class: Any
    optimizer_kwargs: Any
    parameters: Any

    def __init__(self, observation_space: Any, *args: Any, width: int = 64, **kwargs: Any) -> None:
        """width: of the scorer's layers."""
        _check_space(observation_space)
        self.width = width
        super().__init__(observation_space, *args, **kwargs)  # type: ignore[call-arg]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "width": self.width}  # type: ignore[misc]

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = CandidateScorer(self.observation_space, self.width).to(self.device)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)  # type: ignore[misc]
        self.action_net = nn.Identity()  # the scorer's logits are the actions'
        nn.init.orthogonal_(self.mlp_extractor.score.weight, _FIRST_LOGITS)
        self.optimizer = self.optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )


class ScorerPolicy(_Scoring, MultiInputActorCriticPolicy):  # type: ignore[misc]
    """For PPO and A2C; never chooses a place without a candidate."""


class MaskableScorerPolicy(_Scoring, MaskableMultiInputActorCriticPolicy):  # type: ignore[misc]
    """For MaskablePPO, which also asks the environment for the mask."""


def _check_space(space: Any) -> None:
    if list(getattr(space, "spaces", ())) != ["candidates", "mask", "state"]:
        raise BadOption(f"the scorer needs the observations of CandidateSteps; got {space}")

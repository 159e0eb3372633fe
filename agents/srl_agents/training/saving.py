"""What a run writes into its folder: log, checkpoints, and the trained model at the end.

The main process writes; the others help to gather sharded weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from srl_agents.parallel.sharding import load_optimizer, whole_optimizer, whole_weights
from srl_agents.parallel.team import Team
from srl_agents.policies.sampler import Sampler
from srl_agents.policies.trained import merged_weights, save_merged
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.runs.checkpoint import TrainerState, save_checkpoint, write_whole
from srl_agents.runs.config import RunConfig
from srl_agents.training.learner import Learner
from srl_agents.training.log import NoLog, RunLog


@dataclass(frozen=True, slots=True)
class Saver:
    """Saves and restores a run's state. sampler: the policy or engine that samples."""

    config: RunConfig
    team: Team
    policy: TransformersPolicy
    sampler: TransformersPolicy | Sampler
    learner: Learner

    @property
    def folder(self) -> Path:
        """The run's."""
        return Path(self.config.out)

    def open_log(self, offsets: dict[str, int], updates: int) -> RunLog:
        """The log, truncated to its length at a checkpoint."""
        if not self.team.main:
            return NoLog()
        return RunLog(self.folder, self.config, offsets, updates)

    def save(self, updates: int, counters: dict[str, Any]) -> None:
        """A checkpoint of this moment, between two updates."""
        tensors = {
            "optimizer": whole_optimizer(self.learner.optimizer, self.team.main),
            "samplers": self.team.all_gather([self.sampler.generator.get_state()]),
        }
        weights = whole_weights(self.policy.model, self.team.main)
        if self.team.main:
            save_checkpoint(
                self.folder / "checkpoints",
                updates,
                partial(self.policy.save, weights=weights),
                TrainerState(counters, tensors),
                self.config.checkpoint.keep,
            )
        self.team.wait()

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Restores the optimiser and the sampler from a checkpoint."""
        load_optimizer(self.learner.optimizer, tensors["optimizer"])
        if self.team.rank < len(samplers := tensors["samplers"]):
            self.sampler.generator.set_state(samplers[self.team.rank])

    def save_model(self, name: str = "model") -> Path:
        """A folder of the run with the model, an ordinary Hugging Face one, adapters merged."""
        final = self.folder / name
        weights = merged_weights(self.policy, self.team.main)
        if self.team.main:
            write_whole(final, partial(save_merged, self.policy, weights))
        self.team.wait()
        return final

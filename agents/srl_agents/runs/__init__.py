"""What a run is made of, on disk: configuration, inputs, checkpoints, history."""

from __future__ import annotations

from srl_agents.runs.settings import merged, read_tree, with_overrides

__all__ = ["merged", "read_tree", "with_overrides"]

"""Named choices that settings and formulas share."""

from __future__ import annotations

from typing import Literal

Scale = Literal["std", "none"]
"""What an advantage is divided by; see ``srl_agents.objectives.advantage``."""

Aggregation = Literal["sequence", "token", "constant"]
"""How a batch's tokens are averaged; see ``srl_agents.objectives.loss``."""

"""Software engineering: faults of small libraries, repaired in a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_tasks.swe.env import SWEEnv, shared_sandbox
    from srl_tasks.swe.replays import Replays

__all__ = [
    "Replays",
    "SWEEnv",
    "shared_sandbox",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "env": ("SWEEnv", "shared_sandbox"),
        "replays": ("Replays",),
    },
)

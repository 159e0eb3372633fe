"""Software engineering: bugs of small libraries, fixed in a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_tasks.swe.env import SWEEnv

__all__ = ["SWEEnv"]

__getattr__, __dir__ = lazy_names(__name__, {"env": ("SWEEnv",)})

"""The folder of files that can be made again: tasks' trees, environments of packages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

CACHE_VARIABLE: Final = "SRL_ENV_CACHE"


def cache_folder() -> Path:
    """``$SRL_ENV_CACHE``, else ``srl-env`` in the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "srl-env")

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def shared_data() -> Path:
    """The folder with real data sets beside the repository; tests without it are skipped."""
    beside = Path(__file__).parents[4] / "shared"
    folder = Path(os.environ.get("SRL_ENV_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip("no folder with real data; set SRL_ENV_SHARED")
    return folder

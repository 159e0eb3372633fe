"""Loads what the judges need, so that sessions have it in memory from their start."""

from __future__ import annotations

import contextlib
import importlib

import pytest  # noqa: F401
from _pytest.config import default_plugins

from . import run_oracle, run_tests  # noqa: F401

# Beside its plug-ins, what pytest loads once it runs.
_LATE = ("_pytest._argcomplete", "difflib", "faulthandler", "pdb", "readline", "unittest.case")
for _name in (*(f"_pytest.{plugin}" for plugin in default_plugins), *_LATE):
    with contextlib.suppress(ImportError):  # it differs from one version of pytest to the next
        importlib.import_module(_name)

"""Loads what the judges need, so that sessions have it in memory from their start."""

from __future__ import annotations

import importlib

import pytest  # noqa: F401
from _pytest.config import default_plugins

from . import run_oracle, run_tests  # noqa: F401

for _name in default_plugins:
    importlib.import_module(f"_pytest.{_name}")

"""Faults that span functions and files: a table of their kinds, and the candidates of a project."""

from __future__ import annotations

from srl_env.swe.builder.coherent.faults import FINDERS, coherent_bugs

__all__ = ["FINDERS", "coherent_bugs"]

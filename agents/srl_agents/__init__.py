"""Policies, training, evaluation, the command line, and adapters for trainers of others.

The package itself exports nothing but what verifiers looks for in a package that it is given by
name, ``vf-eval srl-agents``: see ``srl_agents.integrations.verifiers``, which alone needs
verifiers.
"""

from __future__ import annotations

from typing import Any

__all__ = ["SRLVerifiersEnv", "SRLTaskset"]  # noqa: RUF022  # imported when asked for


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from srl_agents.integrations import verifiers

    return getattr(verifiers, name)

"""The command ``srl-env``: one file for each verb."""

from srl_agents.cli.main import app

__all__ = ["app"]

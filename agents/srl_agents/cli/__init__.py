"""The command ``srl-env``: one file for each verb; ``main`` lists them."""

from srl_agents.cli.console import comparison_bars, evaluation_bar, training_bar
from srl_agents.cli.main import app

__all__ = ["app", "comparison_bars", "evaluation_bar", "training_bar"]

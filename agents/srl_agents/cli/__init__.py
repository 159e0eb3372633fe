"""The command ``srl-env``: one file for each verb; ``main`` lists them."""

from srl_agents.cli.console import TrainingBar, comparison_bars, evaluation_bar
from srl_agents.cli.main import app

__all__ = ["TrainingBar", "app", "comparison_bars", "evaluation_bar"]

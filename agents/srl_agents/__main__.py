"""``python -m srl_agents`` is ``srl-env``, for launchers: ``accelerate launch -m srl_agents``."""

from srl_agents.cli.main import app

app()

"""Tasks from a git repository's own commits: ``mine_tasks``, as ``srl-env swe mine`` runs it."""

from srl_env.swe.mining.mine import MineProgress, MineReport, mine_tasks
from srl_env.swe.mining.options import MineOptions
from srl_env.swe.mining.statement import read_issues

__all__ = ["MineOptions", "MineProgress", "MineReport", "mine_tasks", "read_issues"]

"""Policies evaluated on unseen problems, and the analysis of saved evaluations."""

from srl_agents.evaluation.contrasts import Comparison
from srl_agents.evaluation.episodes import EpisodeLog
from srl_agents.evaluation.evaluator import evaluate
from srl_agents.evaluation.folder import SavedEvaluation, open_evaluation
from srl_agents.evaluation.plan import choose_problems, split_maker
from srl_agents.evaluation.rows import read_rows
from srl_agents.evaluation.scoring import EvalResult, score_gains
from srl_agents.evaluation.statistics import Estimate, difference, estimate, pass_at_k
from srl_agents.runs.evaluation import EvalSettings

__all__ = [
    "Comparison",
    "EpisodeLog",
    "Estimate",
    "EvalResult",
    "EvalSettings",
    "SavedEvaluation",
    "choose_problems",
    "difference",
    "estimate",
    "evaluate",
    "open_evaluation",
    "pass_at_k",
    "read_rows",
    "score_gains",
    "split_maker",
]

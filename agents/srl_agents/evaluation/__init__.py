"""Policies evaluated on problems they have not seen, and evaluations looked at again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.evaluation.contrasts import Comparison
    from srl_agents.evaluation.episodes import EpisodeFile
    from srl_agents.evaluation.evaluator import evaluate
    from srl_agents.evaluation.folder import SavedEvaluation, open_evaluation
    from srl_agents.evaluation.plan import choose_problems, split_maker
    from srl_agents.evaluation.scoring import EvalResult, score_gains
    from srl_agents.evaluation.statistics import Estimate, difference, estimate, pass_at_k

__all__ = [
    "Comparison",
    "EpisodeFile",
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
    "score_gains",
    "split_maker",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "evaluator": ("evaluate",),
        "plan": ("choose_problems", "split_maker"),
        "scoring": ("EvalResult", "score_gains"),
        "statistics": ("Estimate", "difference", "estimate", "pass_at_k"),
        "episodes": ("EpisodeFile",),
        "folder": ("SavedEvaluation", "open_evaluation"),
        "contrasts": ("Comparison",),
    },
)

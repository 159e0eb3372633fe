"""How alike two steps are: Ratcliff–Obershelp over characters."""

from __future__ import annotations

from cydifflib import SequenceMatcher


def step_similarity(action: str, expert_action: str) -> float:
    """2M/T of the stripped strings, in [0, 1]: M characters match, T there are in both.

    Source: SRL, arXiv:2510.25992, section 3.
    """
    action, expert_action = action.strip(), expert_action.strip()
    if not action:
        return 0.0
    return float(SequenceMatcher(None, action, expert_action, autojunk=False).ratio())

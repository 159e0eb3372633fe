"""Runs as one self-contained page or in the terminal; reports and figures.

``sources`` finds the runs in a folder and ``index`` reads their rollouts into columns. ``page``
writes the page, ``terminal`` prints the same in a terminal, ``report`` writes the result of a
comparison, and ``plots`` the figures and tables of a paper. No module here loads a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.view.page import write_page
    from srl_agents.view.plots import plot
    from srl_agents.view.report import comparison_table, headline, write_report
    from srl_agents.view.sources import find_runs

__all__ = [
    "comparison_table",
    "find_runs",
    "headline",
    "plot",
    "write_page",
    "write_report",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "report": ("comparison_table", "headline", "write_report"),
        "page": ("write_page",),
        "plots": ("plot",),
        "sources": ("find_runs",),
    },
)

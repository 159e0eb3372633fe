"""Looking at runs: one self-contained page, or the terminal; reports and figures.

``sources`` finds what lies in a folder; ``index`` reads its rollouts into columns; ``page``
writes the page, whose three parts are ``page.html``, ``page.css`` and ``page.js``; ``terminal``
shows the same in a terminal. ``report`` writes what a comparison found, ``plots`` the figures and
tables of a paper. Nothing here loads a model or makes an environment.
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

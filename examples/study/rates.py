"""Chooses each method's learning rate for a family of the study, on another base and split "dev".

    python examples/study/rates.py chains

Every method is run at the same three rates from the family's fourth base, which no other run of the
study starts from. The best rate on the development problems is printed as settings for the family's
file. Like every comparison, it continues where it was stopped.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from srl_agents.cli import comparison_bars
from srl_agents.comparison import CompareConfig, compare, make_compare_config
from srl_agents.evaluation import Comparison
from srl_agents.runs import merged, read_tree
from srl_env.errors import SrlEnvError

FAMILIES = ("chains", "stories", "graphs", "orders")
RATES = (1e-4, 3e-4, 1e-3)
_EVALUATION = {"split": "dev", "problems": 64, "rollouts": 8}


def grid(family: str) -> CompareConfig:
    """The comparison of every method of the family at every rate."""
    tree = read_tree(Path(__file__).with_name(f"{family}.toml"))
    changes = tree.get("changes", {})
    own: dict[str, Any] = {
        label(method, rate): merged(without_rates(changes.get(method, {})), _run(method, rate))
        for method in tree["methods"]
        for rate in RATES
    }
    return make_compare_config(
        {name: value for name, value in tree.items() if name != "transfer"}
        | {
            "out": f"{tree['out']}-rates",
            "rows": f"{tree['rows']}-rates",
            "methods": list(own),
            "changes": own,
            "bases": [f"examples/study/bases/{family}-tuning"],
            "seeds": [0],
            "base": False,
            "evaluation": {**tree["evaluation"], **_EVALUATION},
        }
    )


def _run(method: str, rate: float) -> dict[str, Any]:
    return {"method": method, "train": {"lr": rate}}


def label(method: str, rate: float) -> str:
    """The name of a method at a rate."""
    return f"{method}-{rate:g}"


def without_rates(changes: dict[str, Any]) -> dict[str, Any]:
    """The changes of a method without learning rates."""
    return {
        key: without_rates(value) if isinstance(value, dict) else value
        for key, value in changes.items()
        if key != "lr"
    }


def best(comparison: Comparison, methods: list[str]) -> dict[str, float]:
    """{method: the rate with the highest pass@1}, of the methods with a finished run."""
    scores = {
        row.method: row.scores["pass@1"].value for row in comparison.rows if "pass@1" in row.scores
    }
    found: dict[str, float] = {}
    for method in methods:
        rated = {rate: scores.get(label(method, rate), math.nan) for rate in RATES}
        known = {rate: score for rate, score in rated.items() if not math.isnan(score)}
        if known:
            found[method] = max(known, key=known.__getitem__)
    return found


def main() -> int:
    """Runs what is missing of the grid, and prints the best rates; the process's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("family", choices=FAMILIES)
    family = parser.parse_args().family
    methods = read_tree(Path(__file__).with_name(f"{family}.toml"))["methods"]
    try:
        with comparison_bars() as bars:
            comparison = compare(grid(family), on_progress=bars)
    except SrlEnvError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    for method, rate in best(comparison, methods).items():
        print(f"[changes.{method}.train]\nlr = {rate:g}")
    for run in comparison.runs:
        if run.error:
            print(f"# {run.label}: {run.error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

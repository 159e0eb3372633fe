"""``check_env``: whether an environment keeps the promises of every environment here.

The checks are Gymnasium's own and ours. The expert gets full marks; an empty, shuffled or echoed
answer does not. Nothing leaks. A prefix equals its replay. Modes leave the world alone. Seeds
repeat. Splits are disjoint. Infos can be stored. Snapshots can be restored. Hostile texts break
nothing. Checks run real episodes on a few drawn problems; in an environment with a slow world they
take as long as a few dozen episodes.
"""

from srl_env.check.checker import CHECKS, Checker, check_env
from srl_env.check.report import CheckError, CheckReport, CheckResult, Finding

__all__ = [
    "CHECKS",
    "CheckError",
    "CheckReport",
    "CheckResult",
    "Checker",
    "Finding",
    "check_env",
]

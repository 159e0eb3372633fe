"""Whether an environment keeps what every environment here promises: ``check_env``.

Gymnasium's own check, and ours: the expert gets full marks, an empty, shuffled or echoed answer
does not, nothing leaks, a prefix is the same as replaying it, modes leave the world alone, seeds
repeat, splits are disjoint, infos can be stored, snapshots go back, hostile text breaks nothing.
Checks run real episodes on a few drawn problems, so in an environment with a slow world they
take as long as some dozens of episodes.

===============  ==========================================================
``report``      what comes out: findings, results, the report
``trial``       the environment under check, and episodes of it
``rewards``     who gets full marks, and who must not; ranges of rewards
``leaks``       what is visible of the expert and the answer
``determinism`` prefixes, modes, seeds, snapshots: the same again
``interface``   infos, splits, repr
``robustness``  deadlines, and ten thousand texts meant to break things
``checker``     ``check_env`` and the list of all checks
===============  ==========================================================
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

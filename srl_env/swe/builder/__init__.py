"""Tasks made from any Python project with tests: bugs put in, tried out, described and mended.

``build_tasks(path, out)`` does all of it; ``srl-env swe build`` is the command. What runs of the
project's own runs in the sandbox.
"""

from srl_env.swe.builder.build import BuildOptions, BuildProgress, build_tasks
from srl_env.swe.builder.report import BuildReport
from srl_env.swe.builder.suite import warm_probes
from srl_env.swe.builder.validation import Validation, validate_tasks

__all__ = [
    "BuildOptions",
    "BuildProgress",
    "BuildReport",
    "Validation",
    "build_tasks",
    "validate_tasks",
    "warm_probes",
]

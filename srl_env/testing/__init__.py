"""Public fakes and a pytest plug-in for the tests of environments, policies and trainers.

The fakes are in ``srl_env.testing.fakes``. The plug-in, ``srl_env.testing.plugin``, runs the checks
of ``srl_env.check`` as tests; only it needs pytest.
"""

from srl_env.testing.fakes import (
    Cheater,
    Counter,
    CountingEnv,
    CountingVerifier,
    FailingVerifier,
    ScriptedPolicy,
    SlowWorldEnv,
    counting_problem,
)

__all__ = [
    "Cheater",
    "Counter",
    "CountingEnv",
    "CountingVerifier",
    "FailingVerifier",
    "ScriptedPolicy",
    "SlowWorldEnv",
    "counting_problem",
]

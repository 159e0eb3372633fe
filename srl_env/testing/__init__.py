"""For the tests of environments, policies and trainers: public fakes, and a pytest plug-in.

The fakes are tiny, exact and offline: ``CountingEnv`` has three problems that can be worked by
hand; ``SlowWorldEnv`` adds a world that waits; ``ScriptedPolicy`` says what it is told to;
``FailingVerifier`` never answers. The plug-in, ``srl_env.testing.plugin``, runs the checks of
``srl_env.check`` as tests; it alone needs pytest.
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

"""Time limits, wherever one is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srl_agents.policies.servers.openai import OpenAIPolicy
from srl_env.errors import BadOption
from srl_env.grading import GradingTask
from srl_env.sandbox import Limits, LocalSandbox
from srl_env.seconds import MOST_S, check_seconds
from srl_env.swe.builder.options import BuildOptions
from srl_env.verifiers import BoxedVerifier
from srl_tasks.swe.env import SWEEnv

NO_TIME = [float("inf"), float("nan"), 1e12, 10**400, 0, 0.0, -1, True, "30", None, 1j, [3]]


def _run(timeout_s: Any) -> None:
    with LocalSandbox().start(None) as session:
        session.run("true", timeout_s=timeout_s)


GIVEN: dict[str, Callable[[Any], object]] = {
    "Limits: timeout_s": lambda value: Limits(timeout_s=value),
    "run: timeout_s": _run,
    "GradingTask: timeout_s": lambda value: GradingTask(
        Path(), trust="inprocess", fail_to_pass=("t.py::t",), timeout_s=value
    ),
    "command_timeout_s": lambda value: SWEEnv(command_timeout_s=value),
    "episode_timeout_s": lambda value: SWEEnv(episode_timeout_s=value),
    "test_timeout_s": lambda value: BuildOptions(test_timeout_s=value),
    "timeout_s": lambda value: OpenAIPolicy("m", api_key="k", timeout_s=value),
    "deadline_s": lambda value: BoxedVerifier(deadline_s=value),
}


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("value", NO_TIME, ids=lambda value: str(value)[:12])
def test_what_is_no_time_limit_is_refused_wherever_one_is_given(name: str, value: Any) -> None:
    if name == "run: timeout_s" and value is None:
        return  # the session's own limit
    wanted = re.escape(f"{name} must be seconds, ") + ".* at most 604,800; got "
    with pytest.raises(BadOption, match=wanted):
        GIVEN[name](value)


@pytest.mark.parametrize("value", [0.001, 1, 30.0, MOST_S])
def test_a_time_limit_is_any_number_up_to_a_week(value: float) -> None:
    assert check_seconds("limit", value) == value


def test_a_limit_may_have_a_least_value() -> None:
    with pytest.raises(BadOption, match=r"limit must be seconds, at least 1 and .*; got 0\.9"):
        check_seconds("limit", 0.9, least=1)

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from srl_env.errors import BadOption, UnknownName
from srl_env.problem import Problem
from srl_env.rewards import (
    HybridMode,
    RewardMode,
    StepRecord,
    StepReward,
    get_reward_mode,
    register_reward_mode,
    reward_mode,
    reward_modes,
)
from srl_env.rewards.registry import _REGISTRY, FunctionMode
from srl_env.text.format import ParsedStep
from srl_env.verifiers import Verdict

RIGHT, WRONG = Verdict(True, "4"), Verdict(False, "5")

STEP = StepRecord(
    problem=Problem("p", "?"),
    completion="<think></think>abcd",
    parsed=ParsedStep("", "abcd", True),
    index=1,
    start_step=1,
    expert_action="bcde",
    expert_actions=("a = 1", "bcde"),
    actions=("a = 1",),
    granularity="step",
    continuation="policy",
    terminated=False,
    truncated=False,
    legal=None,
    verdict=None,
    rng=None,
    format_ok_so_far=True,
)
LAST = replace(STEP, terminated=True, verdict=RIGHT)
MISFORMED = replace(
    STEP, parsed=ParsedStep(None, "abcd", False, "no </think>"), format_ok_so_far=False
)


def paid(mode: RewardMode | str, *steps: StepRecord) -> list[float]:
    mode = get_reward_mode(mode) if isinstance(mode, str) else mode
    return [reward.value for reward in mode.score(steps)]


@pytest.fixture
def registry() -> Iterator[None]:
    """Puts the registry back as it was."""
    before = dict(_REGISTRY)
    yield
    _REGISTRY.clear()
    _REGISTRY.update(before)


def test_srl_pays_each_step_its_similarity() -> None:
    [reward] = get_reward_mode("srl").score([STEP])
    assert reward == StepReward(0.75, {"similarity": 0.75, "format": 1.0})


def test_srl_pays_minus_one_for_a_format_failure_and_measures_no_similarity_there() -> None:
    assert get_reward_mode("srl").score([MISFORMED]) == [StepReward(-1.0, {"format": 0.0})]


def test_srl_pays_nothing_beyond_the_experts_end() -> None:
    assert paid("srl", replace(STEP, expert_action=None)) == [0.0]


def test_rlvr_pays_the_verdict_and_only_at_the_end() -> None:
    steps = [STEP, LAST, replace(LAST, verdict=WRONG), replace(LAST, truncated=True)]
    assert paid("rlvr", *steps) == [0.0, 1.0, 0.0, 1.0]
    assert get_reward_mode("rlvr").score([LAST])[0].parts == {"outcome": 1.0, "format": 1.0}
    assert get_reward_mode("rlvr").score([STEP])[0].parts == {"format": 1.0}


def test_hybrid_weighs_similarity_and_outcome() -> None:
    mode = HybridMode(similarity=0.2, outcome=2.0)
    assert paid(mode, STEP, LAST) == pytest.approx([0.2 * 0.75, 0.2 * 0.75 + 2.0])
    assert mode.score([LAST])[0].parts == {"similarity": 0.75, "outcome": 1.0, "format": 1.0}
    misformed = replace(MISFORMED, terminated=True, verdict=RIGHT)
    assert paid(HybridMode(), misformed) == [0.5 * -1 + 0.5 * 1]


def test_holistic_pays_one_similarity_for_a_whole_solution() -> None:
    whole = replace(
        LAST, granularity="solution", expert_action="x\nbcde", parsed=ParsedStep("", "abcd", True)
    )
    assert paid("holistic", whole) == [2 * 3 / 10]


def test_holistic_joins_the_steps_after_the_given_ones_where_actions_are_steps() -> None:
    last = replace(
        LAST,
        actions=("given", "abcd"),
        parsed=ParsedStep("", "end", True),
        expert_actions=("given", "bcde", "end"),
    )
    # "abcd\nend" against "bcde\nend": "bcd" and "\nend" match.
    assert paid("holistic", STEP, last) == [0.0, 2 * 7 / 16]


def test_holistic_pays_minus_one_if_any_step_broke_the_format() -> None:
    assert paid("holistic", replace(LAST, format_ok_so_far=False)) == [-1.0]


def test_inverse_pays_for_wrong_answers_and_logs_the_true_outcome() -> None:
    assert paid("inverse", STEP, LAST, replace(LAST, verdict=WRONG)) == [0.0, 0.0, 1.0]
    assert get_reward_mode("inverse").score([LAST])[0].parts["outcome"] == 1.0


def test_score_pays_the_verifiers_part_marks_at_the_end() -> None:
    marked = Verdict(False, "nearly", {"score": 0.25})
    steps = [STEP, replace(LAST, verdict=marked), LAST, replace(LAST, verdict=WRONG)]
    assert paid("score", *steps) == [0.0, 0.25, 1.0, 0.0]
    assert get_reward_mode("score").score(steps[1:2])[0].parts["outcome"] == 0.0


def test_format_pays_at_the_end_if_every_step_kept_it() -> None:
    steps = [STEP, LAST, replace(LAST, format_ok_so_far=False)]
    assert paid("format", *steps) == [0.0, 1.0, 0.0]


def test_world_pays_what_the_world_paid_and_else_as_rlvr() -> None:
    steps = [replace(STEP, world_reward=0.25), replace(LAST, world_reward=-2.0)]
    assert paid("world", *steps) == [0.25, -2.0]
    assert paid("world", STEP, LAST) == paid("rlvr", STEP, LAST)


def test_random_pays_by_the_records_own_stream_half_of_the_time() -> None:
    steps = [replace(LAST, rng=np.random.default_rng(n)) for n in range(2000)]
    values = paid("random", *steps)
    assert set(values) == {0.0, 1.0}
    assert math.isclose(sum(values) / 2000, 0.5, abs_tol=0.045)  # 4 standard deviations
    again = [replace(LAST, rng=np.random.default_rng(n)) for n in reversed(range(2000))]
    assert paid("random", *again) == values[::-1]
    assert paid("random", STEP) == [0.0]


def test_the_published_modes_are_registered_with_their_defaults() -> None:
    names = ["format", "holistic", "hybrid", "inverse", "random", "rlvr", "score", "srl", "world"]
    assert reward_modes() == names
    assert all(isinstance(get_reward_mode(name), RewardMode) for name in names)
    assert get_reward_mode("srl").default_continuation == "expert"
    assert get_reward_mode("rlvr").default_continuation == "policy"
    assert get_reward_mode("holistic").default_granularity == "solution"
    assert [n for n in names if get_reward_mode(n).needs_expert] == ["holistic", "hybrid", "srl"]


def test_an_unknown_mode_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(UnknownName, match=r"no reward mode 'rvlr'\. Did you mean 'rlvr'\?"):
        get_reward_mode("rvlr")


@pytest.mark.usefixtures("registry")
def test_a_function_becomes_a_mode_in_ten_lines() -> None:
    @reward_mode("short", needs_expert=False)
    def short(step: StepRecord) -> float:
        if step.verdict is None:
            return 0.0
        return step.verdict.correct - 0.1 * len(step.parsed.action)

    assert get_reward_mode("short") is short
    assert paid(short, STEP, LAST) == [0.0, 0.6]
    assert short.score([LAST])[0].parts == {"short": 0.6, "format": 1.0}


@pytest.mark.usefixtures("registry")
def test_a_function_may_name_its_own_parts() -> None:
    @reward_mode("detailed")
    def detailed(step: StepRecord) -> StepReward:
        return StepReward(2.0, {"length": 4.0})

    assert detailed.score([STEP]) == [StepReward(2.0, {"length": 4.0})]


@pytest.mark.usefixtures("registry")
def test_a_function_defined_again_as_in_a_notebook_replaces_itself() -> None:
    def define(value: float) -> None:
        @reward_mode("constant")
        def constant(step: StepRecord) -> float:
            return value

    define(1.0)
    define(2.0)
    assert paid(get_reward_mode("constant"), STEP) == [2.0]


@pytest.mark.usefixtures("registry")
def test_a_name_is_given_once_but_the_same_mode_may_be_registered_again() -> None:
    register_reward_mode(get_reward_mode("srl"))
    with pytest.raises(BadOption, match="a reward mode named 'hybrid' exists already"):
        register_reward_mode(HybridMode(0.1, 0.9))
    register_reward_mode(HybridMode(0.1, 0.9, name="mostly-outcome"))
    assert get_reward_mode("mostly-outcome") == HybridMode(0.1, 0.9, name="mostly-outcome")


def nothing(step: StepRecord) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: reward_mode(nothing), r"as in @reward_mode\('short'\); got <function nothing"),
        (lambda: reward_mode(""), r"a reward mode needs a name, .*; got ''"),
        (lambda: reward_mode("three")(3), r"reward_mode\('three'\) decorates a function .* got 3"),
        (lambda: register_reward_mode(3), r"takes a RewardMode object, .* got 3\."),
        (lambda: register_reward_mode(HybridMode), "got <class .*HybridMode"),
        (lambda: register_reward_mode(HybridMode(name="")), "a reward mode needs a name"),
    ],
)
def test_what_is_no_mode_is_not_registered(mistake: Any, message: str) -> None:
    before = reward_modes()
    with pytest.raises(BadOption, match=message):
        mistake()
    assert reward_modes() == before


def test_calls_of_an_async_mode_wait_side_by_side_also_inside_an_event_loop() -> None:
    together = asyncio.Barrier(3)

    async def waits(step: StepRecord) -> float:
        async with asyncio.timeout(30):
            await together.wait()
        return float(len(step.completion))

    records = [replace(STEP, completion=text) for text in ("a", "bb", "ccc")]

    async def in_a_notebook() -> list[StepReward]:
        return FunctionMode("waits", waits).score(records)

    assert [reward.value for reward in asyncio.run(in_a_notebook())] == [1.0, 2.0, 3.0]

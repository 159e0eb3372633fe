"""The environment, worked by hand on problems of counting."""

from __future__ import annotations

import json
import math
import pickle
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

from srl_env.batch.stepping import step_many
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.episode.state import StepResult
from srl_env.errors import BadOption, UnknownName, VerifierTimeout, WorldFailure
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.rewards import registry
from srl_env.rewards.modes import HybridMode
from srl_env.rewards.record import StepRecord, StepReward
from srl_env.rewards.registry import FunctionMode, reward_modes
from srl_env.testing import (
    CountingEnv,
    CountingVerifier,
    FailingVerifier,
    SlowWorldEnv,
    counting_problem,
)
from srl_env.text.format import Brackets, ParsedStep, ThinkTags
from srl_env.text.hint import with_hint
from srl_env.text.prompt import PromptStyle
from srl_env.verifiers import Verdict


def say(action: str, thought: str = "") -> str:
    return f"<think>{thought}</think>{action}"


COUNT_2 = ["say 1", "say 2", "the sum=3!"]


def started(env: ReasoningEnv, **options: Any) -> ReasoningEnv:
    env.reset(seed=0, options={"problem": "count-2", **options})
    return env


def steps(env: ReasoningEnv, actions: Sequence[str]) -> list[StepResult]:
    return [env.step(say(action)) for action in actions]


# -- an episode --


def test_srl_pays_each_step_its_similarity_and_shows_the_experts_steps() -> None:
    env = CountingEnv()
    observation, info = env.reset(seed=0, options={"problem": "count-2"})
    assert observation.endswith("Problem:\nCount to 2, then add up.")
    assert (info["problem_id"], info["step"], info["reward_mode"]) == ("count-2", 0, "srl")
    first, second, third = steps(env, ["say 7", "say 2", "hm"])
    assert first[1] == pytest.approx(0.8)  # 2 · 4 / (5 + 5)
    assert second[1] == 1.0
    assert second[0].endswith("Solution so far:\nsay 1\nsay 2")
    assert third[2:4] == (True, False)
    assert third[4]["verdict"] is None  # the history is the expert's
    assert [result[4]["step"] for result in (first, second, third)] == [1, 2, 3]


def test_rlvr_pays_at_the_end_and_shows_ones_own_steps() -> None:
    env = started(CountingEnv(), reward_mode="rlvr")
    first, second = steps(env, ["say 7", "the sum=3!"])
    assert (first[1], first[2]) == (0.0, False)
    assert first[0].endswith("Solution so far:\nsay 7")
    assert (second[1], second[2], second[3]) == (1.0, True, False)
    assert second[4]["verdict"] == {"correct": True, "answer": "sum=3!"}


def test_thoughts_never_enter_the_history() -> None:
    env = started(CountingEnv(), reward_mode="rlvr")
    observation, *_, info = env.step(say("say 1", thought="secret plan"))
    assert "secret plan" not in observation + json.dumps(info)
    assert info["action"] == "say 1"


def test_a_broken_form_costs_one_and_the_thinking_in_it_is_still_stripped() -> None:
    env = started(CountingEnv(), continuation="policy")
    observation, reward, *_, info = env.step("<think>secret")
    assert (reward, info["format_ok"], info["action"]) == (-1.0, False, "")
    assert "found 1 and 0" in info["format_error"]
    assert "secret" not in observation


def test_info_says_what_was_done_and_whether_it_was_legal() -> None:
    env = started(CountingEnv(), continuation="policy")
    right, wrong = steps(env, ["say 1", "say 7"])
    assert (right[4]["legal"], wrong[4]["legal"]) == (True, False)
    assert (right[4]["format_ok"], right[4]["format_error"]) == (True, None)
    assert "action" not in env.reset()[1]


def test_verdict_comes_in_every_mode_at_the_end_and_not_before() -> None:
    for mode in reward_modes():
        env = started(CountingEnv(), reward_mode=mode, continuation="policy", granularity="step")
        first, last = steps(env, ["say 1", "the sum=3!"])
        assert "verdict" not in first[4]
        assert last[4]["verdict"]["correct"] is True


@pytest.mark.parametrize(
    ("options", "said", "correct"),
    [
        ({}, COUNT_2, None),  # of three steps judged, two are the expert's
        ({"start_step": 1}, COUNT_2[1:], None),
        ({"start_step": 2}, ("the sum=3!",), True),  # given, and not in place of own steps
        ({"start_step": 2}, ("the sum=4!",), False),
        ({"max_steps": 1}, ("the sum=3!",), None),  # cut: the solution goes on without it
        ({"granularity": "solution"}, ("say 1\nthe sum=3!",), True),
        ({"granularity": "solution", "start_step": 1}, ("the sum=4!",), False),
        ({"continuation": "policy"}, ("say 7", "the sum=3!"), True),
        ({"continuation": "policy", "start_step": 1}, ("say 7", "the sum=4!"), False),
        ({"continuation": "policy", "max_steps": 1}, ("say 7",), False),
    ],
)
@pytest.mark.parametrize("mode", reward_modes())
def test_the_verdict_is_on_what_the_policy_did(
    mode: str, options: Mapping[str, Any], said: Sequence[str], correct: bool | None
) -> None:
    chosen = {"continuation": "expert", "granularity": "step", **options}
    env = started(CountingEnv(), reward_mode=mode, **chosen)
    last = steps(env, said)[-1]
    verdict = last[4]["verdict"]
    assert (verdict and verdict["correct"]) is correct
    (same,) = step_many([replayed(mode, chosen, said)], [say(said[-1])])
    assert same[4]["verdict"] == verdict


def replayed(mode: str, options: Mapping[str, Any], said: Sequence[str]) -> ReasoningEnv:
    """An environment before the last of some actions."""
    env = started(CountingEnv(), reward_mode=mode, **options)
    steps(env, said[:-1])
    return env


class Ledger(CountingEnv):
    """Judges a world: correct once the sum was said in it."""

    def world_step(self, action: str) -> str:
        self.world = [*(self.world or []), action]
        return f"{len(self.world)} said"

    def judge(self, actions: Sequence[str]) -> Verdict:
        return Verdict("the sum=3!" in self.world, None)


@pytest.mark.parametrize(
    ("mode", "paid"), [("rlvr", 0.0), ("inverse", 0.0), ("score", 0.0), ("hybrid", 0.0)]
)
def test_what_the_expert_did_to_a_world_is_neither_judged_nor_paid(mode: str, paid: float) -> None:
    env = started(Ledger(), reward_mode=mode, continuation="expert", start_step=2)
    (last,) = steps(env, ["#"])
    assert last[4]["verdict"] is None
    assert last[1] == pytest.approx(paid, abs=0.1)
    assert "outcome" not in last[4]["reward_parts"]
    own = started(Ledger(), reward_mode=mode, continuation="policy", start_step=2)
    assert steps(own, ["the sum=3!"])[-1][4]["verdict"]["correct"] is True


def test_hybrid_pays_the_last_action_after_the_experts_steps_for_being_right() -> None:
    env = started(CountingEnv(), reward_mode="hybrid", continuation="expert")
    results = steps(env, ["say 7", "say 2", "the sum=3!"])
    assert results[-1][1] == 1.0  # 0.5 · similarity 1 + 0.5 · outcome 1
    assert results[-1][4]["reward_parts"]["outcome"] == 1.0
    assert results[-1][4]["verdict"] is None


def test_a_whole_solution_is_one_action() -> None:
    env = started(CountingEnv(), reward_mode="holistic")
    assert env.expert_completion() == say(
        "\nsay 1\nsay 2\nthe sum=3!", "after 0 comes 1\nafter 1 comes 2\nadd them up"
    )
    _, reward, terminated, truncated, info = env.step(env.expert_completion())
    assert (reward, terminated, truncated, info["legal"]) == (1.0, True, False, None)
    assert info["verdict"]["correct"] is True


def test_granularity_solution_starts_after_the_given_steps() -> None:
    env = started(CountingEnv(), reward_mode="rlvr", granularity="solution", start_step=1)
    assert env.expert_completion().endswith("\nsay 2\nthe sum=3!")
    assert env.step(say("no idea"))[1:3] == (0.0, True)


def test_an_episode_is_truncated_after_max_steps_of_its_own() -> None:
    env = started(CountingEnv(), reward_mode="rlvr", start_step=1, max_steps=2)
    first, second = steps(env, ["say 7", "say 8"])
    assert first[2:4] == (False, False)
    assert second[2:4] == (False, True)
    assert second[4]["verdict"]["correct"] is False


def test_the_last_allowed_step_may_still_terminate() -> None:
    env = started(CountingEnv(), reward_mode="rlvr", max_steps=1)
    assert env.step(say("the sum=3!"))[1:4] == (1.0, True, False)


def test_beyond_the_experts_end_srl_pays_nothing_and_the_expert_is_silent() -> None:
    env = started(CountingEnv(), continuation="policy")
    results = steps(env, ["say 1", "say 2", "say 3", "say 4"])
    assert results[3][1] == 0.0
    with pytest.raises(BadOption, match=r"'count-2' has no step 5; its solution has 3"):
        env.expert_completion()


def test_a_problem_without_an_expert_says_so_where_the_expert_is_asked() -> None:
    source = ListSource([Problem("alone", "2 + 2?", "4")])
    env = ReasoningEnv(source, CountingVerifier(), reward_mode="rlvr")
    env.reset(options={"problem": "alone"})
    with pytest.raises(BadOption, match="problem 'alone' has no expert. Fix: use another policy"):
        env.expert_completion()


def test_titles_are_shown_where_asked_for() -> None:
    env = started(CountingEnv(show_titles=True))
    assert env.step(say("x"))[0].endswith("The title of the next step: Number 2")
    assert "Number" not in started(CountingEnv()).step(say("x"))[0]


def test_the_bare_style_joins_problem_and_actions() -> None:
    env = started(CountingEnv(style=PromptStyle.bare(), format=Brackets()), continuation="policy")
    observation, *_, info = env.step("(hm)say 1;")
    assert observation == "Count to 2, then add up.say 1;"
    assert info["messages"] == [{"role": "user", "content": observation}]


# -- options of reset --


def test_options_hold_for_their_episode_only_in_any_order() -> None:
    env = CountingEnv()
    for _ in range(2):
        for mode in ("rlvr", "srl", "hybrid", "random", "holistic", "format"):
            env.reset(options={"reward_mode": mode})
            assert env.reward_mode.name == mode
        env.reset()
        assert (env.reward_mode.name, env.continuation, env.start_step) == ("srl", "expert", 0)


def test_explicit_options_win_over_the_constructor_and_that_over_the_mode() -> None:
    env = CountingEnv(continuation="policy")
    assert started(env).continuation == "policy"
    assert started(env, continuation="expert").continuation == "expert"
    assert started(CountingEnv(), reward_mode="rlvr").continuation == "policy"
    assert started(CountingEnv(granularity="solution")).granularity == "solution"


def test_a_problem_is_chosen_by_id_or_index() -> None:
    env = CountingEnv()
    assert env.reset(options={"problem": 2})[1]["problem_id"] == "count-4"
    assert env.reset(options={"problem": np.int64(1)})[1]["problem_id"] == "count-3"
    assert env.reset(options={"problem": "count-2"})[1]["problem_id"] == "count-2"


@pytest.mark.parametrize(("fraction", "shown"), [(0.0, 0), (0.5, 1), (2 / 3, 2), (1, 3)])
def test_a_hint_shows_a_fraction_of_the_experts_steps_in_every_prompt(
    fraction: float, shown: int
) -> None:
    plain = started(CountingEnv(), continuation="policy")
    hinted = started(CountingEnv(), continuation="policy", hint=fraction)
    for env in (plain, hinted):
        env.step(say("say 9"))
    prompt = "Count to 2, then add up."
    expected, info = plain.restore(plain.snapshot())
    seen, told = hinted.restore(hinted.snapshot())
    assert told["messages"] == with_hint(plain.style, info["messages"], prompt, COUNT_2[:shown])
    assert told | {"messages": 0} == info | {"messages": 0}
    assert (seen == expected) == (shown == 0)
    assert hinted.start_step == 0


def test_a_problem_without_an_expert_has_no_hint() -> None:
    source = ListSource([Problem("p", "1+1?", "2")])
    env = ReasoningEnv(source, CountingVerifier(), reward_mode="rlvr")
    assert env.reset(options={"hint": 1.0})[0] == env.reset()[0]


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, True, "all"])
def test_a_hint_is_a_fraction(value: object) -> None:
    with pytest.raises(BadOption, match="hint must be a fraction from 0 to 1"):
        CountingEnv().reset(options={"hint": value})


def test_a_start_step_gives_that_many_expert_steps() -> None:
    env = started(CountingEnv(), start_step=2)
    assert (env.step_index, env.start_step) == (2, 2)
    assert env.render() is None
    _, reward, terminated, *_ = env.step(env.expert_completion())
    assert (reward, terminated) == (1.0, True)


def test_a_prefix_shows_what_replaying_it_shows() -> None:
    for continuation in ("expert", "policy"):
        env = started(CountingEnv(), continuation=continuation)
        replayed = steps(env, COUNT_2[:2])[-1]
        given = env.reset(
            options={"problem": "count-2", "continuation": continuation, "start_step": 2}
        )
        assert given[0] == replayed[0]
        assert given[1]["messages"] == replayed[4]["messages"]


def test_a_reward_mode_may_be_an_object() -> None:
    env = started(CountingEnv(), reward_mode=HybridMode(similarity=0.0, outcome=2.0))
    assert steps(env, COUNT_2)[-1][1] == 2.0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (3, BadOption, "options must be a dictionary of reset options, .* got int 3"),
        (["problem"], BadOption, "options must be a dictionary of reset options, .* got list"),
        ({"reward": "srl"}, UnknownName, "no reset option 'reward'. Did you mean 'reward_mode'"),
        ({"reward_mode": "slr"}, UnknownName, "no reward mode 'slr'. Did you mean 'srl'"),
        ({"reward_mode": 3}, BadOption, "a name or a RewardMode object; got 3"),
        ({"problem": "count-9"}, UnknownName, "no problem 'count-9'. Did you mean 'count-"),
        ({"problem": 3}, BadOption, "'counting/train' has problems 0 … 2"),
        ({"problem": -1}, BadOption, "problem must be an id or an index, at least 0; got -1"),
        ({"problem": 1.5}, BadOption, "problem must be an id or an index, at least 0; got 1.5"),
        ({"problem": "count-2", "start_step": 3}, BadOption, "has 3 steps, so start_step is at"),
        ({"start_step": -1}, BadOption, "start_step must be a whole number, at least 0; got -1"),
        ({"start_step": True}, BadOption, "must be a whole number, at least 0; got True"),
        ({"max_steps": 0}, BadOption, "max_steps must be a whole number, at least 1; got 0"),
        ({"continuation": "own"}, BadOption, "must be 'expert' or 'policy'; got 'own'"),
        ({"granularity": "token"}, BadOption, "must be 'step' or 'solution'; got 'token'"),
    ],
)
def test_wrong_options_name_the_right_ones_and_leave_the_episode(
    options: Mapping[str, Any], error: type[Exception], message: str
) -> None:
    env = started(CountingEnv())
    with pytest.raises(error, match=message):
        env.reset(options=options)
    assert [result[1] for result in steps(env, COUNT_2)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reward_mode": "srll"}, "Did you mean 'srl'"),
        ({"continuation": "me"}, "continuation must be 'expert' or 'policy'"),
        ({"granularity": 1}, "granularity must be 'step' or 'solution'"),
        ({"max_steps": "many"}, "max_steps must be a whole number"),
    ],
)
def test_wrong_arguments_are_refused_when_the_environment_is_made(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((BadOption, UnknownName), match=message):
        CountingEnv(**arguments)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(BadOption, match="seed must be a whole number, at least 0; got -1"):
        CountingEnv().reset(seed=-1)


def no_expert() -> ReasoningEnv:
    problem = Problem("p", "Count to 2, then add up.", "sum=3!")
    return ReasoningEnv(ListSource((problem,)), CountingVerifier())


def test_without_an_expert_srl_says_so_and_rlvr_works() -> None:
    env = no_expert()
    with pytest.raises(BadOption, match="'srl' compares with an expert, and problem 'p' has no"):
        env.reset()
    with pytest.raises(BadOption, match="continuation 'expert' needs an expert trajectory"):
        env.reset(options={"reward_mode": "rlvr", "continuation": "expert"})
    with pytest.raises(BadOption, match="start_step 1 leaves nothing to do"):
        env.reset(options={"reward_mode": "rlvr", "start_step": 1})
    env.reset(options={"reward_mode": "rlvr"})
    assert env.step(say("the sum=3!"))[1] == 1.0


def test_an_empty_source_is_refused() -> None:
    env = ReasoningEnv(ListSource((), "none/train"), CountingVerifier())
    with pytest.raises(BadOption, match="source 'none/train' is empty"):
        env.reset()


# -- the order of calls --


def test_steps_before_reset_and_after_the_end_are_refused() -> None:
    env = CountingEnv()
    for call in (lambda: env.step("x"), env.snapshot, lambda: env.problem, env.expert_completion):
        with pytest.raises(ResetNeeded, match="call reset"):
            call()
    steps(started(env), COUNT_2)
    with pytest.raises(ResetNeeded, match="episode has ended"):
        env.step("x")


def test_an_action_that_is_no_text_is_refused_and_changes_nothing() -> None:
    env = started(CountingEnv())
    with pytest.raises(BadOption, match=r"an action must be a str; got int 3"):
        env.step(3)  # type: ignore[arg-type]
    assert [result[1] for result in steps(env, COUNT_2)] == [1.0, 1.0, 1.0]


# -- the mode changes nothing but rewards --


@pytest.mark.parametrize("continuation", ["expert", "policy"])
@pytest.mark.parametrize("granularity", ["step", "solution"])
@pytest.mark.parametrize("make", [CountingEnv, SlowWorldEnv])
def test_observations_and_ends_are_the_same_in_every_mode(
    continuation: str, granularity: str, make: type[ReasoningEnv]
) -> None:
    seen = []
    for mode in reward_modes():
        env = make()
        env.reset(
            seed=5,
            options={
                "reward_mode": mode,
                "continuation": continuation,
                "granularity": granularity,
                "max_steps": 3,
            },
        )
        trace = []
        for action in ("<think>", "say 1", "say 9"):
            result = env.step(action if action == "<think>" else say(action))
            info = {k: v for k, v in result[4].items() if k not in ("reward_mode", "reward_parts")}
            trace.append((result[0], result[2], result[3], info))
            if result[2] or result[3]:
                break
        seen.append(trace)
    assert all(trace == seen[0] for trace in seen)


# -- seeds --


class Numbered:
    """A billion problems with nothing in them but their number."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> Problem:
        return Problem(str(index), "p", "a")

    def index_of(self, problem_id: str) -> int:
        return int(problem_id)


def drawn(seed: int, name: str = "numbered/train", count: int = 300) -> list[str]:
    env = ReasoningEnv(Numbered(name), CountingVerifier(), reward_mode="rlvr")
    first = env.reset(seed=seed)[1]["problem_id"]
    return [first] + [env.reset()[1]["problem_id"] for _ in range(count - 1)]


def test_equal_seeds_draw_equal_problems() -> None:
    assert drawn(42) == drawn(42)


def test_neighbouring_seeds_share_no_problem() -> None:
    assert set(drawn(42)).isdisjoint(drawn(43))


def test_train_and_test_are_drawn_apart() -> None:
    assert set(drawn(42)).isdisjoint(drawn(42, "numbered/test"))


def test_unseeded_environments_draw_apart() -> None:
    envs = [ReasoningEnv(Numbered("n"), CountingVerifier(), reward_mode="rlvr") for _ in range(2)]
    assert envs[0].reset()[1]["problem_id"] != envs[1].reset()[1]["problem_id"]


def test_choosing_the_problem_leaves_the_rest_of_the_episode_alike() -> None:
    env = CountingEnv()
    problem = env.reset(seed=9)[1]["problem_id"]
    state = env.np_random.bit_generator.state
    env.reset(seed=9, options={"problem": problem})
    assert env.np_random.bit_generator.state == state
    assert env.np_random_seed == 9


def test_several_trajectories_are_drawn_from_by_seed() -> None:
    ways = tuple(ExpertTrajectory((ExpertStep(name), ExpertStep("the a"))) for name in "xyz")
    env = ReasoningEnv(ListSource((Problem("p", "?", "a", ways),)), CountingVerifier())

    def way(seed: int) -> str:
        env.reset(seed=seed)
        return env.expert_steps[0].action

    assert {way(seed) for seed in range(30)} == set("xyz")
    assert [way(seed) for seed in range(9)] == [way(seed) for seed in range(9)]


def test_global_generators_are_left_alone() -> None:
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), repr(np.random.get_state())
    steps(started(CountingEnv(), reward_mode="random"), ["the x"])
    assert before == (random.getstate(), repr(np.random.get_state()))


def coin(seed: int, action: str, **options: Any) -> float:
    env = CountingEnv(reward_mode="random")
    env.reset(seed=seed, options=options)
    return env.step(say(action))[1]


@pytest.mark.parametrize(
    "draw",
    [
        lambda n: coin(0, "the x", copy=n),
        lambda n: coin(n, "the x"),
        lambda n: coin(n, f"the {n}", copy=n),
    ],
    ids=["by copy", "by seed", "by both"],
)
def test_random_rewards_differ_by_episode_and_copy_and_repeat(draw: Callable[[int], float]) -> None:
    drawn = [draw(n) for n in range(200)]
    assert drawn == [draw(n) for n in range(200)]
    assert 70 < sum(drawn) < 130


def test_a_random_reward_does_not_depend_on_what_was_written() -> None:
    assert len({coin(0, f"the {n}", copy=3) for n in range(50)}) == 1


def test_a_restored_fork_draws_its_random_reward_again_and_one_with_a_number_its_own() -> None:
    env, other = CountingEnv(reward_mode="random"), CountingEnv()
    for copy in range(8):
        env.reset(seed=1, options={"copy": copy})
        env.step(say("say 1"))
        here = env.snapshot()
        reward = env.step(say("the x"))[1]
        assert reward == coin(1, "the x", copy=copy)
        other.restore(pickle.loads(pickle.dumps(here)))
        assert other.step(say("the y"))[1] == reward
    forks = []
    for copy in range(200):
        other.restore(here, copy=copy)
        forks.append(other.step(say("the x"))[1])
    assert forks == [coin(1, "the x", copy=copy) for copy in range(200)]
    assert 70 < sum(forks) < 130
    with pytest.raises(BadOption, match="copy must be a whole number, at least 0; got -1"):
        other.restore(here, copy=-1)


# -- failures --


def assert_failed(result: StepResult, kind: str) -> None:
    _, reward, terminated, truncated, info = result
    assert math.isnan(reward)
    assert (terminated, truncated) == (False, True)
    assert info["failure"]["type"] == kind
    assert "verdict" not in info


@pytest.mark.parametrize("mode", reward_modes())
def test_a_verifier_that_fails_is_never_a_reward(mode: str) -> None:
    env = started(
        CountingEnv(verifier=FailingVerifier()),
        reward_mode=mode,
        continuation="policy",
        granularity="step",
    )
    first, last = steps(env, ["say 1", "the sum=3!"])
    assert math.isfinite(first[1])
    assert_failed(last, "VerifierTimeout")
    assert last[4]["failure"]["message"] == "no answer within 0 s"
    with pytest.raises(ResetNeeded):
        env.step("x")


@pytest.mark.parametrize("mode", ["srl", "holistic", "format", "random"])
def test_modes_that_read_no_verdict_ask_for_none_on_the_experts_steps(mode: str) -> None:
    env = started(
        CountingEnv(verifier=FailingVerifier()),
        reward_mode=mode,
        continuation="expert",
        granularity="step",
    )
    *_, last = steps(env, COUNT_2)
    assert last[2]
    assert math.isfinite(last[1])
    assert last[4]["verdict"] is None
    started(env, reward_mode=mode, continuation="expert", granularity="step", start_step=2)
    (alone,) = steps(env, COUNT_2[2:])  # the policy's own solution
    assert_failed(alone, "VerifierTimeout")


def test_a_world_that_fails_ends_the_episode() -> None:
    env = SlowWorldEnv(fail_at=2, reward_mode="rlvr")
    started(env)
    first, second = steps(env, ["say 1", "say 2"])
    assert first[1] == 0.0
    assert_failed(second, "WorldFailure")
    assert second[4]["action"] == "say 2"


class Decoding(ThinkTags):
    """Reads escapes in the action, as formats that hold JSON do."""

    def parse(self, text: str) -> ParsedStep:
        parsed = super().parse(text)
        action = parsed.action.replace("(D800)", "\ud800")
        return replace(parsed, action=action, thought="\udfff", problem_found="\udc80")


class Echo(CountingEnv):
    """Its world and its verifier say lone surrogates of their own."""

    def world_step(self, action: str) -> str:
        return f"\udc80{action}"

    def world_info(self) -> Mapping[str, Any]:
        return {"said\ud800": ["\udfff", {"deep": ("\ud83d\ude42", 1, None)}]}

    def judge(self, actions: Sequence[str]) -> Verdict:
        return Verdict(False, f"\ud800{actions[-1]}", {"why\ud800": ["\udfff"]})


@pytest.mark.parametrize(
    "text",
    [
        "\ud800",
        "<think>\ud800</think>say \udfff",
        "<think></think>say (D800)",
        "<think></think>the \ud83d\ude42 \ud83d",
        "\ud800<think></think>\udc00" * 50,
        '<think></think>{"command": "\ud800"}',
    ],
)
@pytest.mark.parametrize("max_steps", [1, 2])
def test_what_leaves_a_step_is_valid_utf_8(text: str, max_steps: int) -> None:
    env = Echo(format=Decoding(), reward_mode="rlvr", max_steps=max_steps)
    env.reset(seed=0)
    observation, *_, info = env.step(text)
    json.dumps([observation, info], ensure_ascii=False).encode()
    assert info["world"]["said\ufffd"] == ["\ufffd", {"deep": ("🙂", 1, None)}]
    assert env.render() is None
    assert "\ud800" not in env.history[-1].action


class Doors(CountingEnv):
    """A world that answers how far one is, and that some actions break or hold up.

    broken: whether every world breaks at its second step.
    """

    broken = False

    def world_reset(self, problem: Problem) -> None:
        self.world = []
        self.key = int(self.np_random.integers(10**9))

    def world_step(self, action: str) -> str:
        self.world.append(action)
        if self.broken and len(self.world) == 2:
            raise WorldFailure("the doors are locked")
        if action == "slam":
            raise WorldFailure("the door broke")
        if action == "calc":
            return str(eval("9**9**9"))
        if action == "wait":
            time.sleep(60)
        return f"{len(self.world)} doors with key {self.key}"


@pytest.mark.parametrize(
    ("action", "mode", "reason"),
    [
        ("slam", "rlvr", "WorldFailure: the door broke"),
        ("slam", "srl", "WorldFailure: the door broke"),
        ("slam", "hybrid", "WorldFailure: the door broke"),
        ("calc", "score", "WorldTimeout: the world had no answer within 1 s"),
        ("wait", "rlvr", "WorldTimeout: the world had no answer within 1 s"),
    ],
)
def test_an_action_that_breaks_or_hangs_the_world_again_is_the_policys_fault(
    action: str, mode: str, reason: str
) -> None:
    env = Doors(world_timeout_s=1)
    started(env, reward_mode=mode, continuation="policy", granularity="step")
    env.step(say("say 1"))
    _, reward, terminated, truncated, info = env.step(say(action))
    assert (terminated, truncated) == (True, False)
    assert info["verdict"] == {"correct": False, "answer": None, "policy_fault": reason}
    assert (info["action"], info["step"]) == (action, 2)
    assert reward == 0.0 if mode in ("rlvr", "score") else 0.0 <= reward < 0.5
    with pytest.raises(ResetNeeded):
        env.step("x")


@pytest.mark.parametrize("threads", [False, True])
def test_the_policys_fault_in_a_batch_leaves_the_others_alone(threads: bool) -> None:
    class Many(Doors):
        slow_world = threads

    envs = [started(Many(world_timeout_s=1), reward_mode="rlvr") for _ in range(3)]
    results = step_many(envs, [say("say 1"), say("wait"), say("the sum=3!")])
    assert [result[1] for result in results] == [0.0, 0.0, 1.0]
    assert [result[2] for result in results] == [False, True, True]


def test_a_world_that_breaks_under_the_expert_too_is_an_infrastructure_failure() -> None:
    env = Doors(reward_mode="rlvr")
    started(env)
    env.step(say("say 1"))
    env.broken = True
    assert_failed(env.step(say("slam")), "WorldFailure")


def test_a_world_that_fails_once_goes_on_as_if_it_had_not() -> None:
    class Shaky(Doors):
        times = 1

        def world_step(self, action: str) -> str:
            if action == "say 2" and self.times:
                self.times -= 1
                self.world.append("half of it")
                raise WorldFailure("shaken")
            return super().world_step(action)

    Shaky.__name__ = Doors.__name__  # by which random numbers are drawn
    actions = ["say 1", "say 2", "say 3"]
    calm, shaky = (
        [env.step(say(action)) for action in actions]
        for env in (started(kind(reward_mode="rlvr")) for kind in (Doors, Shaky))
    )
    assert shaky == calm


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, 1e12, "60", True])
def test_a_worlds_time_is_a_number_of_seconds_or_none(timeout: object) -> None:
    with pytest.raises(BadOption, match="world_timeout_s must be seconds"):
        CountingEnv(world_timeout_s=timeout)
    assert CountingEnv(world_timeout_s=None).world_timeout_s is None


def test_a_world_that_cannot_be_set_up_raises_and_leaves_no_open_episode() -> None:
    env = SlowWorldEnv(fail_at=0, reward_mode="rlvr")
    with pytest.raises(WorldFailure, match="gone at answer 0"):
        env.reset(seed=0)
    with pytest.raises(ResetNeeded):
        env.step("x")
    assert_failed(env.fail(WorldFailure("x")), "WorldFailure")


def test_a_reward_mode_that_fails_ends_the_episode() -> None:
    def score(step: StepRecord) -> float:
        raise VerifierTimeout("the judge is away")

    env = started(CountingEnv(), reward_mode=FunctionMode("away", score))
    assert_failed(env.step(say("x")), "VerifierTimeout")


def test_other_exceptions_are_bugs_and_go_through() -> None:
    def score(step: StepRecord) -> float:
        raise ZeroDivisionError

    env = started(CountingEnv(), reward_mode=FunctionMode("broken", score))
    with pytest.raises(ZeroDivisionError):
        env.step(say("x"))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_mode_may_not_pay_what_is_no_number(value: float) -> None:
    env = started(CountingEnv(), reward_mode=FunctionMode("odd", lambda step: value))
    with pytest.raises(BadOption, match="'odd' must give one finite reward for each of 1 steps"):
        env.step(say("x"))


# -- records --


def test_a_record_holds_what_rewards_need() -> None:
    env = started(CountingEnv(), start_step=1)
    record = env.advance(say("say 7", "why"))
    assert record == StepRecord(
        problem=env.problem,
        completion=say("say 7", "why"),
        parsed=ThinkTags().parse(say("say 7", "why")),
        index=1,
        start_step=1,
        expert_action="say 2",
        expert_actions=("say 1", "say 2", "the sum=3!"),
        actions=("say 1",),
        granularity="step",
        continuation="expert",
        terminated=False,
        truncated=False,
        legal=False,
        verdict=None,
        rng=None,
        format_ok_so_far=True,
    )
    settled = env.settle(record, StepReward(0.5, {"x": 0.5}))
    assert settled[1:4] == (0.5, False, False)
    assert settled[4]["reward_parts"] == {"x": 0.5}


def test_records_remember_a_broken_form_and_end_with_a_generator() -> None:
    env = started(CountingEnv(), reward_mode="rlvr")
    env.step("broken")
    record = env.advance(say("the sum=3!"))
    assert (record.parsed.ok, record.format_ok_so_far, record.terminated) == (True, False, True)
    assert record.rng is not None


def same_length(action: str, context: StepRecord) -> float:
    """1 for texts of one length, else 0.25."""
    return 1.0 if len(action) == len(context.expert_action or "") else 0.25


class LengthEnv(CountingEnv):
    measure = same_length


@pytest.mark.parametrize(
    "env", [CountingEnv(measure=same_length), LengthEnv()], ids=["constructor", "class"]
)
def test_an_environment_says_how_actions_are_compared(env: CountingEnv) -> None:
    for mode, expected in (("srl", 0.25), ("hybrid", 0.125)):
        started(env, reward_mode=mode)
        _, reward, _, _, info = env.step(say("x"))
        assert (reward, info["reward_parts"]["similarity"]) == (expected, 0.25)
    started(env, reward_mode="srl")
    assert env.step(say("SAY 1"))[1] == 1.0
    assert env.step("SAY 2")[1] == -1.0


def test_the_constructor_wins_over_the_class_in_how_actions_are_compared() -> None:
    env = started(LengthEnv(measure="characters"), reward_mode="srl")
    # "say " of five characters each: 2*4/10; the class would say 1.
    assert env.step(say("say 2"))[1] == 0.8


def test_whole_solutions_are_compared_as_texts() -> None:
    for options in ({"reward_mode": "holistic"}, {"granularity": "solution"}):
        env = started(LengthEnv(), **options)
        assert env.step(say("x"))[1] == 0.0


# -- worlds --


def recorded_problem() -> Problem:
    problem = counting_problem(2)
    seen = tuple(replace(s, observation=f"seen {s.action}") for s in problem.trajectories[0].steps)
    return replace(problem, trajectories=(ExpertTrajectory(seen),))


class World(SlowWorldEnv):
    """Notes what its hooks are asked."""

    def __init__(self, problem: Problem, **options: Any) -> None:
        super().__init__(**options)
        self.problems = ListSource((problem,))
        self.calls: list[str] = []

    def world_reset(self, problem: Problem) -> None:
        self.calls.append("reset")
        super().world_reset(problem)

    def world_step(self, action: str) -> str:
        self.calls.append(action)
        return super().world_step(action)


def test_the_world_answers_ones_own_actions() -> None:
    env = started(World(counting_problem(2)), reward_mode="rlvr")
    _, *_, info = env.step(say("say 7"))
    assert env.calls == ["reset", "say 7"]
    assert info["messages"][-2:] == [
        {"role": "assistant", "content": "say 7"},
        {"role": "user", "content": "Observation:\n1 said"},
    ]


def test_a_prefix_is_played_in_the_world() -> None:
    env = started(World(recorded_problem()), reward_mode="rlvr", start_step=2)
    assert env.calls == ["reset", "say 1", "say 2"]
    assert [turn.observation for turn in env.history] == ["1 said", "2 said"]


def test_recorded_experts_need_no_world() -> None:
    env = started(World(recorded_problem()), start_step=1)
    observation = env.step(say("x"))[0]
    assert env.calls == []
    assert observation.endswith("Action:\nsay 2\n\nObservation:\nseen say 2")


def test_experts_without_a_record_are_played_in_the_world() -> None:
    env = started(World(counting_problem(2)))
    env.step(say("x"))
    assert env.calls == ["reset", "say 1"]


def test_recorded_observations_are_shown_where_there_is_no_world() -> None:
    env = ReasoningEnv(ListSource((recorded_problem(),)), CountingVerifier())
    env.reset(options={"start_step": 1})
    assert [turn.observation for turn in env.history] == ["seen say 1"]


# -- forks --


def finish(env: ReasoningEnv) -> Iterator[StepResult]:
    while True:
        result = env.step(say("say 2") if env.step_index < 3 else say("the sum=3!"))
        yield result
        if result[2] or result[3]:
            return


@pytest.mark.parametrize("make", [CountingEnv, SlowWorldEnv])
@pytest.mark.parametrize("mode", ["srl", "rlvr", "random"])
def test_a_snapshot_goes_back_to_its_step_world_and_rewards_included(
    make: type[ReasoningEnv], mode: str
) -> None:
    env = started(make(), reward_mode=mode)
    env.step(say("say 1"))
    snapshot = env.snapshot()
    before = env.restore(snapshot)
    traces = [list(finish(env))]
    env.reset(seed=99, options={"reward_mode": "format"})
    for target in (env, make()):
        assert target.restore(pickle.loads(pickle.dumps(snapshot))) == before
        traces.append(list(finish(target)))
        assert target.reset() == traces_of_next_episode(make, mode)
    assert traces[0] == traces[1] == traces[2]


def traces_of_next_episode(make: type[ReasoningEnv], mode: str) -> tuple[str, dict[str, Any]]:
    env = started(make(), reward_mode=mode)
    return env.reset()


def test_a_snapshot_in_a_users_own_mode_can_be_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    mode = FunctionMode("a-users-own", lambda step: 0.125)  # as a decorated function: unpicklable
    monkeypatch.setitem(registry._REGISTRY, mode.name, mode)
    env = started(CountingEnv(), reward_mode="a-users-own")
    snapshot = pickle.loads(pickle.dumps(env.snapshot()))
    env.reset()
    env.restore(snapshot)
    assert env.step(say("x"))[1] == 0.125


def test_the_world_of_a_snapshot_is_a_copy() -> None:
    env = SlowWorldEnv(reward_mode="rlvr")
    started(env)
    env.step(say("say 1"))
    snapshot = env.snapshot()
    env.step(say("say 2"))
    env.restore(snapshot)
    assert env.world.said == ["say 1"]
    env.step(say("say 3"))
    env.restore(snapshot)
    assert env.world.said == ["say 1"]


def test_a_snapshot_of_an_ended_episode_stays_ended() -> None:
    env = started(CountingEnv())
    steps(env, COUNT_2)
    snapshot = env.snapshot()
    env.reset()
    env.restore(snapshot)
    with pytest.raises(ResetNeeded):
        env.step("x")


def test_a_snapshot_belongs_to_its_class_and_prints_no_secrets() -> None:
    snapshot = started(CountingEnv()).snapshot()
    assert "sum=3" not in repr(snapshot)
    with pytest.raises(BadOption, match="snapshot of CountingEnv cannot be restored in Slow"):
        SlowWorldEnv().restore(snapshot)


# -- what is emitted --


def test_everything_emitted_can_be_stored_whatever_the_policy_writes() -> None:
    problem = replace(counting_problem(2), prompt="Count \ud800 up")
    env = ReasoningEnv(ListSource((problem,)), CountingVerifier(), continuation="policy")
    observation, info = env.reset()
    for completion in ("<think>\ud800</think>a\udfff", "\ud83d\ude42", "\0", "the \ud800"):
        observation.encode()
        json.dumps(info, allow_nan=False).encode()
        assert pickle.loads(pickle.dumps(info)) == info
        observation, *_, info = env.step(completion)
    assert "Count \ufffd up" in observation


def test_every_call_returns_new_data() -> None:
    env = started(CountingEnv())
    infos = [env.reset()[1], *(result[4] for result in steps(env, ["a", "b"]))]
    infos[0]["messages"][0]["content"] = "changed"
    assert infos[1]["messages"][0]["content"] != "changed"


def test_repr_is_short_and_render_shows_the_observation() -> None:
    env = CountingEnv(render_mode="ansi")
    assert repr(env) == str(env) == "CountingEnv('counting/train')"
    observation, _ = env.reset()
    assert env.render() == observation
    assert CountingEnv().metadata["render_modes"] == ["ansi"]


@pytest.mark.parametrize("mode", reward_modes())
def test_gymnasiums_own_check_passes_without_warnings(mode: str) -> None:
    gymnasium_check_env(CountingEnv(reward_mode=mode), skip_render_check=True)


def test_gymnasiums_wrappers_fit_around_it() -> None:
    env = gymnasium.wrappers.RecordEpisodeStatistics(
        gymnasium.wrappers.OrderEnforcing(gymnasium.wrappers.PassiveEnvChecker(CountingEnv()))
    )
    env.reset(seed=0, options={"problem": "count-2"})
    infos = [env.step(say(action))[4] for action in COUNT_2]
    assert infos[-1]["episode"]["r"] == 3.0

from __future__ import annotations

import pickle

import pytest

import srl_env
from srl_env import ReasoningEnv, StepRecord
from srl_env.errors import BadOption, UnknownName
from srl_env.rewards import MEASURES, TextMeasure, find_measure
from srl_env.testing import CountingEnv


def say(action: str) -> str:
    return f"<think></think>\n{action}"


def first_reward(env: ReasoningEnv, completion: str, **options: object) -> float:
    env.reset(seed=0, options={"reward_mode": "srl", **options})
    return env.step(completion)[1]


class Polite(CountingEnv):
    """Accepts a step that says please, and half of one that says thanks."""

    def accepts(self, action: str, context: StepRecord) -> float:
        assert context.expert_action == "say 1"
        return 1.0 if "please" in action else 0.5 if "thanks" in action else 0.0


def test_an_environment_and_an_episode_choose_a_measure_by_name() -> None:
    env = Polite(measure="accepts")
    assert first_reward(env, say("please")) == 1.0
    assert first_reward(env, say("thanks")) == 0.5
    # "say 2" and "say 1" share four of five characters each: 2*4/10.
    assert first_reward(env, say("say 2")) == 0.0
    assert first_reward(env, say("say 2"), measure="characters") == 0.8
    assert first_reward(env, say("say 2")) == 0.0


def test_your_own_measure_is_a_function_or_module_and_name() -> None:
    assert find_measure("builtins:max") is max
    env = CountingEnv(measure=lambda action, context: len(action) / 100)
    assert first_reward(env, say("please")) == 0.06
    with pytest.raises(UnknownName, match="Did you mean 'characters'"):
        CountingEnv(measure="character")
    with pytest.raises(BadOption, match="needs the model that is trained"):
        CountingEnv(measure="log-likelihood")
    with pytest.raises(BadOption, match="a measure must be a name"):
        CountingEnv(measure=7)  # type: ignore[arg-type]


def test_accepts_needs_a_checker_before_the_first_step() -> None:
    class Unchecked(ReasoningEnv):
        pass

    parts = CountingEnv()
    with pytest.raises(BadOption, match="got Unchecked, which does not. Fix: override accepts"):
        Unchecked(parts.problems, parts.verifier, measure="accepts")
    env = Unchecked(parts.problems, parts.verifier)
    with pytest.raises(BadOption, match="needs an environment that checks steps"):
        env.reset(options={"measure": "accepts"})


def test_a_legal_step_is_accepted_in_place_of_the_experts() -> None:
    env = srl_env.make("srl/DefinitionGraph-v0", measure="accepts").unwrapped
    assert isinstance(env, ReasoningEnv)
    env.reset(seed=0)
    given = [fact for fact, needs in env.problem.metadata["facts"].items() if not needs]
    other = next(fact for fact in given if fact != env.expert_action)
    assert first_reward(env, other) == 1.0
    wrong = f"{other[0]}{(int(other[1]) + 1) % 10};"
    assert first_reward(env, wrong) == 0.0


def test_measures_of_two_texts_also_compare_whole_solutions() -> None:
    half = TextMeasure(lambda action, expert: 0.5)
    step = TextMeasure(lambda action, expert: 0.5).__call__
    for options in ({"reward_mode": "holistic"}, {"granularity": "solution"}):
        assert first_reward(CountingEnv(measure=half), say("x"), **options) == 0.5
        assert first_reward(CountingEnv(measure=step), say("x"), **options) == 0.0


def test_a_snapshot_holds_the_measure_by_name() -> None:
    env = Polite()
    env.reset(seed=0, options={"reward_mode": "srl", "measure": "accepts"})
    env.restore(pickle.loads(pickle.dumps(env.snapshot())))
    assert env.step(say("thanks"))[1] == 0.5


def test_every_measure_says_its_range_and_blind_spots() -> None:
    for name, measure in MEASURES.items():
        module = __import__(f"srl_env.rewards.measures.{name.replace('-', '_')}", fromlist=["x"])
        text = " ".join((module.__doc__ or "").split())
        assert "Range: " in text, name
        assert "Blind spots: " in text, name
        assert callable(measure)

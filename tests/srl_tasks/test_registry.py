"""Every environment that ships keeps every promise, offline."""

from __future__ import annotations

import json
import pickle
import warnings
from typing import Any

import gymnasium
import pytest
from gymnasium.envs.registration import load_env_creator
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

import srl_env
from srl_env.errors import MissingExtra, UnknownName, UserError
from srl_env.text.format import ParsedStep
from srl_tasks import ENVIRONMENTS

each_id = pytest.mark.parametrize("env_id", ENVIRONMENTS)


def offline(env_id: str, **arguments: Any) -> srl_env.ReasoningEnv:
    """The environment without network: data-backed classes say how in ``offline_kwargs``."""
    if env_id == "srl/OpenEnv-v0":
        pytest.skip("needs a server; tests/srl_agents/serving has one")
    maker: Any = load_env_creator(ENVIRONMENTS[env_id])
    try:
        env = srl_env.make(env_id, **{**getattr(maker, "offline_kwargs", {}), **arguments})
        steps = max((len(way.steps) for way in env.problems[0].trajectories), default=0)
    except MissingExtra as error:
        pytest.skip(str(error))
    if steps < 2:
        pytest.skip("no solutions of several steps; what it promises is tested where it is")
    return env


def few(env: srl_env.ReasoningEnv, many: int) -> int:
    """How many problems to try: one where each step is a command in a sandbox."""
    return 1 if env.slow_world else many


def test_all_are_registered_by_importing_srl_env() -> None:
    assert set(ENVIRONMENTS) <= set(srl_env.environment_ids())
    assert set(ENVIRONMENTS) <= set(gymnasium.registry)


@each_id
def test_our_check_passes(env_id: str) -> None:
    env = offline(env_id)
    srl_env.check_env(env, problems=few(env, 5), hostile=300, seconds=2)


@pytest.mark.slow
@each_id
def test_thousands_of_hostile_texts_break_nothing(env_id: str) -> None:
    """Texts that break a verifier are wrong answers, which a note reports."""
    env = offline(env_id)
    texts = 2_000 if env.slow_world else 10_000
    report = srl_env.check_env(env, problems=1, hostile=texts, seconds=1500)
    assert not [note for note in report.results[-1].notes if "found responsible" not in note]


@each_id
@pytest.mark.parametrize("split", ["dev", "test"])
def test_our_check_passes_on_the_other_splits(env_id: str, split: str) -> None:
    try:
        env = offline(env_id, split=split)
    except UnknownName:
        pytest.skip("it has no splits")
    if env.slow_world:
        pytest.skip("its splits differ in nothing but the tasks, which have tests of their own")
    srl_env.check_env(env, problems=2, hostile=0, seconds=0.1)


@each_id
def test_gymnasiums_check_passes_without_warnings(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check_env(offline(env_id).unwrapped)


@each_id
def test_the_expert_gets_full_marks_in_both_modes(env_id: str) -> None:
    env = offline(env_id)
    for problem in range(few(env, 10)):
        env.reset(options={"problem": problem, "reward_mode": "srl"})
        steps = len(env.expert_steps)
        results = [env.step(env.expert_completion()) for _ in range(steps)]
        assert [result[1] for result in results] == [1.0] * steps
        assert results[-1][2]
        env.reset(options={"problem": problem, "reward_mode": "rlvr"})
        results = [env.step(env.expert_completion()) for _ in range(steps)]
        assert [result[1] for result in results] == [0.0] * (steps - 1) + [1.0]
        assert results[-1][4]["verdict"]["correct"]


@each_id
def test_an_empty_answer_gets_nothing(env_id: str) -> None:
    env = offline(env_id)
    for problem in range(10):
        for granularity in env.granularities:
            options = {"problem": problem, "reward_mode": "rlvr", "max_steps": 1}
            env.reset(options={**options, "granularity": granularity})
            _, reward, _, _, info = env.step("")
            assert (reward, info["verdict"]["correct"]) == (0.0, False)


@each_id
def test_the_same_seed_gives_the_same_episode(env_id: str) -> None:
    def episode(env: srl_env.ReasoningEnv) -> list[Any]:
        first: Any = env.reset(seed=7, options={"reward_mode": "hybrid"})
        rest = [env.step(env.expert_completion()) for _ in range(2)]
        return [first, *rest]

    assert episode(offline(env_id)) == episode(offline(env_id))


@each_id
def test_nothing_of_the_coming_steps_or_the_answer_is_shown(env_id: str) -> None:
    """The leak test in its simplest form; ``check_env`` has the one for short secrets."""
    env = offline(env_id)
    for problem in range(10):
        result: Any = env.reset(options={"problem": problem, "reward_mode": "srl"})
        for number in range(len(env.expert_steps)):
            observation, info = result[0], result[-1]
            places = [observation, json.dumps(info), repr(env), repr(pickle.dumps(observation))]
            done = {step.action for step in env.expert_steps[:number]}  # may be done once more
            for step in env.expert_steps[number:]:
                assert step.action in done or not any(step.action in place for place in places)
                if step.thought and step.thought not in env.problem.prompt:
                    assert not any(step.thought in place for place in places)
            result = env.step(env.format.render(env.expert_steps[0]))


@each_id
def test_what_the_expert_writes_is_read_back(env_id: str) -> None:
    env = offline(env_id)
    for problem in range(10):
        env.reset(options={"problem": problem})
        for step in env.expert_steps:
            parsed = env.format.parse(env.format.render(step))
            assert parsed == ParsedStep(parsed.thought, step.action, True)
            assert (parsed.thought or None) == step.thought


@each_id
def test_an_environment_is_made_from_its_id_alone_or_says_why_not(env_id: str) -> None:
    """Only the data-backed ones need the hub by default."""
    maker: Any = load_env_creator(ENVIRONMENTS[env_id])
    if not getattr(maker, "offline_kwargs", {}):
        try:
            assert gymnasium.make(env_id).unwrapped.spec is not None
        except UserError as error:
            assert f"{env_id} needs " in str(error)  # noqa: PT017


@each_id
def test_the_class_is_documented_as_a_manual(env_id: str) -> None:
    manual: Any = load_env_creator(ENVIRONMENTS[env_id])
    for heading in (
        "Task", "Observation", "Action", "Expert", "Reward", "Episode end", "Info", "Data",
        "Versions",
    ):  # fmt: skip
        assert f"**{heading}.**" in manual.__doc__


@each_id
def test_steps_that_are_no_steps_are_not_legal(env_id: str) -> None:
    env = offline(env_id)
    env.reset(seed=0)
    for action in ("", ";", "hello", "(", "\ud800", "9" * 10_000):
        assert env.unwrapped.legal(env.problem, [], action) in (False, None)

"""The vector environment keeps Gymnasium's conventions, and loses no text."""

from __future__ import annotations

import functools
import gc
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import CustomSpaceError, ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from srl_env.batch.vector import VectorEnv
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UnknownName
from srl_env.testing import CountingEnv, FailingVerifier, SlowWorldEnv

ANSWERS = {"count-2": "the sum=3!", "count-3": "the sum=6!", "count-4": "the sum=10!"}


def say(action: str) -> str:
    return f"<think></think>{action}"


def made(count: int = 3, mode: AutoresetMode | str | None = None, **options: Any) -> VectorEnv:
    make = functools.partial(CountingEnv, **{"reward_mode": "rlvr", **options})
    return VectorEnv([make] * count, autoreset_mode=mode)


def each(*problems: int) -> dict[str, Any]:
    return {"each": [{"problem": problem} for problem in problems]}


def test_observations_are_texts_and_infos_are_batched() -> None:
    envs = made()
    observations, infos = envs.reset(seed=0, options=each(0, 1, 2))
    assert [text.split("\n")[-1][:10] for text in observations] == [
        "Count to 2",
        "Count to 3",
        "Count to 4",
    ]
    assert infos["problem_id"].tolist() == ["count-2", "count-3", "count-4"]
    assert infos["_problem_id"].all()
    assert infos["step"].dtype == np.int64
    assert infos["messages"][1][-1]["content"].endswith("Count to 3, then add up.")


def test_environments_with_one_seed_are_copies_whose_random_rewards_are_drawn_apart() -> None:
    envs = made(64, reward_mode="random")
    _, infos = envs.reset(seed=[5] * 64)
    assert len(set(infos["problem_id"])) == 1
    rewards = envs.step([say("the x")] * 64)[1]
    assert 20 < rewards.sum() < 44
    numbers = [{"copy": copy} for copy in reversed(range(64))]
    envs.reset(seed=[5] * 64, options={"each": numbers})
    assert envs.step([say("the y")] * 64)[1].tolist() == rewards.tolist()[::-1]


def test_rewards_and_ends_come_in_arrays_of_their_own() -> None:
    envs = made(mode="Disabled")
    envs.reset(options=each(0, 0, 0))
    first = envs.step([say("the sum=3!"), say("the x"), say("say 1")])
    assert first[1].tolist() == [1.0, 0.0, 0.0]
    assert first[2].tolist() == [True, True, False]
    assert first[3].tolist() == [False, False, False]
    assert first[4]["verdict"]["correct"].tolist() == [True, False, False]
    assert first[4]["_verdict"].tolist() == [True, True, False]
    assert first[4]["verdict"]["answer"].tolist() == ["sum=3!", "x", None]
    envs.reset()
    envs.step([say("say 1")] * 3)
    assert first[1].tolist() == [1.0, 0.0, 0.0]


def test_next_step_shows_the_last_observation_then_resets() -> None:
    envs = made(2)
    envs.reset(seed=0, options=each(0, 0))
    ended, _, terminated, *_ = envs.step([say("the x"), say("say 1")])
    assert terminated.tolist() == [True, False]
    assert ended[0].endswith("Solution so far:\nthe x")
    observations, rewards, terminated, truncated, infos = envs.step(["ignored", say("say 2")])
    assert observations[0].endswith("add up.")
    assert observations[1].endswith("say 1\nsay 2")
    assert rewards.tolist() == [0.0, 0.0]
    assert not terminated.any()
    assert not truncated.any()
    assert infos["step"].tolist() == [0, 2]


def test_same_step_resets_at_once_and_keeps_the_final_observation_and_info() -> None:
    envs = made(2, AutoresetMode.SAME_STEP)
    envs.reset(seed=0, options=each(0, 0))
    observations, rewards, terminated, _, infos = envs.step([say("the sum=3!"), say("say 1")])
    assert (rewards.tolist(), terminated.tolist()) == ([1.0, 0.0], [True, False])
    assert observations[0].endswith("add up.")
    assert infos["final_obs"][0].endswith("Solution so far:\nthe sum=3!")
    assert infos["final_obs"][1] is None
    assert infos["_final_obs"].tolist() == [True, False]
    assert infos["final_info"]["verdict"]["correct"].tolist() == [True, False]
    assert infos["_final_info"].tolist() == [True, False]
    assert infos["step"].tolist() == [0, 1]
    assert "verdict" not in infos


def test_disabled_resets_where_the_mask_says() -> None:
    envs = made(3, "Disabled")
    envs.reset(options=each(0, 0, 0))
    _, _, terminated, truncated, _ = envs.step([say("the x"), say("say 1"), say("the y")])
    with pytest.raises(ResetNeeded, match=r"ended in environments \[0, 2\].*reset_mask"):
        envs.step([say("x")] * 3)
    mask = terminated | truncated
    observations, infos = envs.reset(options={"reset_mask": mask, **each(1, 1, 2)})
    assert [text.split("\n")[-1] for text in observations] == [
        "Count to 3, then add up.",
        "say 1",
        "Count to 4, then add up.",
    ]
    assert infos["_problem_id"].tolist() == [True, False, True]
    envs.step([say("x")] * 3)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_it_does_what_gymnasiums_own_vector_environment_does(mode: AutoresetMode) -> None:
    make = functools.partial(CountingEnv, reward_mode="rlvr", max_steps=2)
    ours = VectorEnv([make] * 4, autoreset_mode=mode)
    theirs = SyncVectorEnv([make] * 4, autoreset_mode=mode)
    seeds = [3, 4, 5, 6]
    compare(ours.reset(seed=seeds), theirs.reset(seed=seeds))
    actions = [say("say 1"), "broken", say("the sum=3!"), say("the x")]
    for turn in range(6):
        said = actions[turn % 4 :] + actions[: turn % 4]
        results = ours.step(said), theirs.step(said)
        compare(*results)
        ended = results[0][2] | results[0][3]
        if mode is AutoresetMode.DISABLED and ended.any():
            compare(
                ours.reset(options={"reset_mask": ended}),
                theirs.reset(options={"reset_mask": ended}),
            )


def compare(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> None:
    assert ours[0] == theirs[0]
    for mine, other in zip(ours[1:-1], theirs[1:-1], strict=True):
        assert mine.dtype == other.dtype
        assert mine.tolist() == other.tolist()
    assert plain(ours[-1]) == plain(theirs[-1])


def plain(infos: Any) -> Any:
    if isinstance(infos, dict):
        return {key: plain(value) for key, value in infos.items()}
    return infos.tolist()


def test_one_seed_for_all_gives_each_its_own() -> None:
    def problems(seed: int) -> list[int]:
        envs = made(50)
        envs.reset(seed=seed)
        return [int(env.np_random_seed) for env in envs.envs]

    assert problems(1) == problems(1)
    assert len({*problems(1), *problems(2)}) == 100


def test_options_reach_all_and_each() -> None:
    envs = made(2)
    envs.reset(options={"reward_mode": "srl", "each": [{"start_step": 1}, {"problem": 0}]})
    assert [env.reward_mode.name for env in envs.envs] == ["srl", "srl"]
    assert [env.start_step for env in envs.envs] == [1, 0]
    assert envs.envs[1].problem.id == "count-2"


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_a_failing_verifier_gives_nan_and_says_why(mode: str) -> None:
    envs = made(2, mode, verifier=FailingVerifier())
    envs.reset(options=each(0, 0))
    _, rewards, terminated, truncated, infos = envs.step([say("the x"), say("say 1")])
    assert np.isnan(rewards).tolist() == [True, False]
    assert (terminated.tolist(), truncated.tolist()) == ([False, False], [True, False])
    last = infos["final_info"] if mode == "SameStep" else infos
    assert last["failure"]["type"].tolist() == ["VerifierTimeout", None]


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_a_failing_reset_is_an_episode_that_fails_on_its_first_step(mode: str) -> None:
    makers = [functools.partial(SlowWorldEnv, reward_mode="rlvr", fail_at=f) for f in (None, 0)]
    envs = VectorEnv(makers, autoreset_mode=mode)
    observations, infos = envs.reset(seed=0)
    assert infos["_failure"].tolist() == [False, True]
    assert "Count to" in observations[1]
    _, rewards, _, truncated, infos = envs.step([say("say 1")] * 2)
    assert rewards[0] == 0.0
    assert np.isnan(rewards[1])
    assert truncated.tolist() == [False, True]
    last = infos["final_info"] if mode == "SameStep" else infos
    assert last["failure"]["type"][1] == "WorldFailure"


@pytest.mark.parametrize("before", [True, False])
def test_a_step_leaves_the_garbage_collector_as_it_was(before: bool) -> None:
    seen = list[bool]()

    class Watching(CountingEnv):
        def is_final(self, action: str) -> bool:
            seen.append(gc.isenabled())
            return super().is_final(action)

    envs = VectorEnv([functools.partial(Watching, reward_mode="rlvr")] * 2)
    envs.reset(seed=0)
    enabled = gc.isenabled()
    try:
        (gc.enable if before else gc.disable)()
        envs.step(["<think></think>say 1"] * 2)
        assert gc.isenabled() == before
    finally:
        (gc.enable if enabled else gc.disable)()
    assert seen == [False, False]


def test_ten_thousand_environments_step_together() -> None:
    envs = made(10_000, "SameStep")
    observations, _ = envs.reset(seed=0)
    assert len(set(observations)) == 3
    actions = [say(ANSWERS[env.problem.id]) for env in envs.envs]
    _, rewards, terminated, _, infos = envs.step(actions)
    assert rewards.sum() == 10_000
    assert terminated.all()
    assert infos["final_info"]["verdict"]["correct"].all()


def test_infos_of_mixed_types_keep_them() -> None:
    class Sometimes(CountingEnv):
        def legal(self, problem: Any, actions: Sequence[str], action: str) -> bool | None:  # type: ignore[override]
            return None if action == "none" else action == "yes"

    envs = VectorEnv([Sometimes] * 3)
    envs.reset()
    infos = envs.step([say("yes"), say("none"), say("no")])[4]
    assert infos["legal"].tolist() == [True, None, False]


def test_infos_of_any_size_fit_into_their_arrays() -> None:
    class Big(CountingEnv):
        def _observe(self, state: Any) -> tuple[str, dict[str, Any]]:
            observation, info = super()._observe(state)
            return observation, {**info, "big": 10**30, "pair": [1, 2], "empty": {}}

    infos = VectorEnv([Big] * 2).reset()[1]
    assert infos["big"].tolist() == [10**30] * 2
    assert infos["pair"].tolist() == [[1, 2]] * 2
    assert (infos["empty"], infos["_empty"].tolist()) == ({}, [True, True])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda envs: envs.step(["x"]), "actions needs one entry for each of 3 .* got 1"),
        (lambda envs: envs.step("abc"), "actions needs one entry for each of 3"),
        (lambda envs: envs.reset(seed=[1]), "seed needs one entry for each of 3"),
        (lambda envs: envs.reset(seed=-5), "seed must be a whole number, at least 0; got -5"),
        (lambda envs: envs.reset(seed=[1, None, -5]), "seed must be a whole number, .* got -5"),
        (lambda envs: envs.reset(seed=1.5), "seed must be a whole number, .* got 1.5"),
        (lambda envs: envs.reset(options={"each": [{}]}), "each needs one entry for each of 3"),
        (lambda envs: envs.reset(options={"each": 3}), "each needs one entry for .* got 3"),
        (
            lambda envs: envs.reset(options={"each": [{"problem": 0}, 3, {}]}),
            "entry 1 of 'each' must be a dictionary of reset options, .* got int 3",
        ),
        (
            lambda envs: envs.reset(options=3),
            "options must be a dictionary of reset options.* got int",
        ),
        (lambda envs: envs.reset(options={"reset_mask": [True]}), r"of shape \(3,\).*\(1,\)"),
        (lambda envs: envs.reset(options={"reset_mask": np.zeros(3, bool)}), "with a True; got"),
    ],
)
def test_wrong_shapes_are_refused(call: Any, message: str) -> None:
    envs = made()
    envs.reset()
    with pytest.raises(BadOption, match=message):
        call(envs)


@pytest.mark.parametrize("mode", ["SAME_STEP", "SameStep", AutoresetMode.SAME_STEP])
def test_autoreset_goes_by_name_and_by_value(mode: AutoresetMode | str) -> None:
    assert made(mode=mode).autoreset_mode is AutoresetMode.SAME_STEP


def test_an_autoreset_mode_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownName, match=r"no autoreset mode 'SAME_STEPS'\. .*'SAME_STEP'"):
        made(mode="SAME_STEPS")
    with pytest.raises(BadOption, match="autoreset_mode must be one of gymnasium's .*; got 3"):
        made(mode=3)  # type: ignore[arg-type]


def test_an_environment_in_place_of_a_function_that_makes_one_is_named() -> None:
    with pytest.raises(BadOption, match="functions that make an environment, .* got a CountingEnv"):
        VectorEnv([CountingEnv()])  # type: ignore[list-item]


def test_wrong_options_of_one_leave_all_episodes_as_they_are() -> None:
    envs = made(2)
    envs.reset(seed=0, options=each(0, 1))
    with pytest.raises(UnknownName, match="no reset option 'problm'"):
        envs.reset(options={"each": [{"problem": 2}, {"problm": 2}]})
    with pytest.raises(BadOption, match="seed must be"):
        envs.reset(seed=[1, -1])
    assert [env.problem.id for env in envs.envs] == ["count-2", "count-3"]


def test_it_takes_bare_reasoning_environments_only() -> None:
    with pytest.raises(BadOption, match="at least one environment"):
        VectorEnv([])
    wrapped: Any = lambda: gymnasium.wrappers.OrderEnforcing(CountingEnv())  # noqa: E731
    with pytest.raises(BadOption, match="without wrappers; got OrderEnforcing"):
        VectorEnv([wrapped])


def test_spaces_batch_and_everything_closes() -> None:
    closed: list[int] = []

    class Closing(CountingEnv):
        def close(self) -> None:
            closed.append(1)

    envs = VectorEnv([functools.partial(Closing, render_mode="ansi")] * 2)
    observations, _ = envs.reset()
    assert observations in envs.observation_space
    envs.action_space.seed(0)
    assert envs.step(envs.action_space.sample())[0] in envs.observation_space
    assert len(envs.render()) == 2
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    envs.close()
    assert closed == [1, 1]


def test_gymnasiums_own_vector_environment_hands_the_text_through() -> None:
    envs: SyncVectorEnv[Any, Any] = SyncVectorEnv([CountingEnv] * 2)
    assert all("Count to" in text for text in envs.reset(seed=1)[0])
    envs.close()


def test_gymnasiums_shared_memory_refuses_text_instead_of_freezing_it() -> None:
    with pytest.raises(CustomSpaceError, match="create_shared_memory"):
        gymnasium.vector.utils.create_shared_memory(CountingEnv().observation_space, 2)


def test_environments_are_reachable() -> None:
    assert all(isinstance(env, ReasoningEnv) for env in made().envs)

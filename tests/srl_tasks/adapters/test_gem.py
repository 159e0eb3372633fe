"""Environments with GEM's interface as ours: a fake of known answers, and GEM's own."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import pytest

import srl_env
from srl_agents.evaluation.plan import split_maker
from srl_env.data.splits import QUARTERS, split_of
from srl_env.errors import BadOption, MissingExtra, UnknownName, WorldFailure
from srl_env.text.format import ThinkTags
from srl_tasks.adapters.gem import GEMEnv


class Guess:
    """Guess a number from 0 to 99 in four tries; draws from the global generators, as GEM's do."""

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        random.seed(seed)
        np.random.seed(seed)
        self.number, self.tries = random.randint(0, 99), 0
        return f"Guess the number of room {np.random.randint(10**6)}.", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.tries += 1
        if action == "crash":
            raise KeyError(action)
        if action == "huge":
            return "?", 10**400, False, False, {}
        if action == "nan":
            return "?", float("nan"), False, False, {}
        if not action.isdecimal():
            return "no number", -0.1, True, False, {}
        if int(action) == self.number:
            return f"right, luck {random.random()}", 1.0, True, False, {}
        hint = "higher" if self.number > int(action) else "lower"
        return hint, 0.1, False, self.tries == 4, {}


class Board(Guess):
    """Shows what there is to see beside the observation, as GEM's board games do."""

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        shown, _ = super().reset(seed)
        return shown, {"suffix": "[.X.]", "prefix": "Game. "}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:4], {"suffix": f"[try {self.tries}]"}


class Numbers:
    """Says a number first, and no text."""

    def reset(self, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        return 3, {}

    def step(self, action: str) -> Any:
        raise AssertionError("never begun")


def make(**options: Any) -> GEMEnv:
    return GEMEnv(Guess, format=ThinkTags(require_thought=False), **options)


def number(env: GEMEnv) -> int:
    """The oracle."""
    assert env.world is not None
    return int(env.world.env.number)  # type: ignore[attr-defined]


def test_the_oracles_answer_scores_one_and_another_does_not() -> None:
    env = make()
    for seed in range(5):
        env.reset(seed=seed)
        _, reward, terminated, _, info = env.step(str(number(env)))
        assert (reward, terminated, info["verdict"]["correct"]) == (1.0, True, True)
        env.reset(seed=seed)
        _, reward, terminated, _, info = env.step("none")
        assert (reward, terminated, info["verdict"]["correct"]) == (0.0, True, False)


def test_the_world_answers_and_its_rewards_add_up() -> None:
    env = make(reward_mode="score")
    observation, _ = env.reset(seed=1)
    assert observation.endswith(env.problem.prompt)
    wrong = number(env) - 1 if number(env) else 1
    observation, reward, terminated, _, info = env.step(str(wrong))
    assert (reward, terminated, info["world"]) == (0.0, False, {"reward": 0.1})
    assert observation.endswith(("higher", "lower"))
    _, reward, terminated, _, info = env.step(str(number(env)))
    assert (reward, terminated) == (pytest.approx(1.1), True)
    assert info["verdict"]["score"] == pytest.approx(1.1)


def test_each_step_can_be_rewarded_as_the_world_does_and_a_policy_fault_is_not() -> None:
    env = make(reward_mode="world")
    env.reset(seed=1)
    wrong = str(number(env) - 1 if number(env) else 1)
    rewards = [env.step(wrong)[1], env.step(str(number(env)))[1]]
    assert rewards == [0.1, 1.0]
    env.reset(seed=1)
    env.step(wrong)
    _, reward, terminated, _, info = env.step("crash")
    assert (reward, terminated, "policy_fault" in info["verdict"]) == (0.0, True, True)


def test_an_episode_ends_where_the_wrapped_one_is_cut_off() -> None:
    env = make()
    env.reset(seed=3)
    wrong = str((number(env) + 1) % 100)
    ends = [env.step(wrong)[2] for _ in range(4)]
    assert ends == [False, False, False, True]


def test_a_sum_of_small_rewards_is_not_a_success_before_the_end() -> None:
    env = make(correct_at=0.2, max_steps=2)
    env.reset(seed=3)
    wrong = str((number(env) + 1) % 100)
    env.step(wrong)
    _, reward, terminated, truncated, info = env.step(wrong)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert not info["verdict"]["correct"]


def test_the_global_generators_are_left_alone_and_each_has_its_own() -> None:
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    one, other = make(), make()
    one.reset(seed=1)
    other.reset(seed=2)
    said = one.step(str(number(one)))[0]
    assert (random.random(), np.random.random()) == expected
    alone = make()
    alone.reset(seed=1)
    assert alone.step(str(number(alone)))[0] == said


def test_splits_have_no_seed_in_common() -> None:
    for split in ("train", "dev", "test"):
        source = make(split=split).problems
        assert source.name == f"gem/Guess/{split}"
        found = [source[i] for i in range(50)]
        seeds = {problem.metadata["seed"] for problem in found}
        assert {split_of(f"gem {seed}", QUARTERS) for seed in seeds} == {split}
        assert len(seeds) == len({problem.prompt for problem in found}) == 50
    with pytest.raises(BadOption, match="'train', 'dev' or 'test'; got 'tset'"):
        make(split="tset")


def test_an_evaluation_is_on_the_split_asked_for() -> None:
    made = split_maker("srl/GEM-v0", {"world": Guess}, "test")()
    assert made.problems.name == "gem/Guess/test"


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("crash", "WorldFailure: Guess.step() raised KeyError('crash')"),
        ("nan", "WorldFailure: Guess.step() gave a reward of nan"),
        ("huge", "WorldFailure: Guess.step() raised OverflowError"),
    ],
)
def test_an_action_that_the_wrapped_one_cannot_take_is_wrong_and_no_failure(
    action: str, reason: str
) -> None:
    env = make()
    env.reset(seed=0)
    env.step("1" if number(env) != 1 else "2")
    _, reward, terminated, truncated, info = env.step(action)
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert info["verdict"]["policy_fault"].startswith(reason)
    assert "failure" not in info


def test_a_wrapped_one_that_cannot_be_begun_again_is_a_failure() -> None:
    env = make()
    env.reset(seed=0)
    assert env.world is not None

    def gone(seed: int | None = None) -> Any:
        raise ConnectionError("no board")

    env.world.env.reset = gone  # type: ignore[method-assign]
    _, reward, _, truncated, info = env.step("crash")
    assert np.isnan(reward)
    assert truncated
    assert info["failure"]["type"] == "WorldFailure"


def test_episodes_fork_and_environments_pickle() -> None:
    env = make()
    env.reset(seed=9)
    here = env.snapshot()
    first = env.step(str(number(env)))
    env.restore(pickle.loads(pickle.dumps(here)))
    assert env.step(str(number(env))) == first
    assert pickle.loads(pickle.dumps(env.problems))[3] == env.problems[3]


def test_our_check_passes() -> None:
    srl_env.check_env(make(), problems=3, hostile=100, seconds=2)


def test_a_world_must_speak_text() -> None:
    with pytest.raises(BadOption, match=r"of Numbers.reset\(\) must be a text; got int 3"):
        GEMEnv(Numbers).problems[0]  # type: ignore[arg-type]
    with pytest.raises(BadOption, match="needs world="):
        GEMEnv()
    with pytest.raises(BadOption, match="gem: needs an id after it"):
        srl_env.make("gem:")

    class Broken(Guess):
        def reset(self, seed: int | None = None) -> Any:
            raise OSError("no board")

    with pytest.raises(WorldFailure, match="no board"):
        GEMEnv(Broken).problems[0]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gem", None)
    with pytest.raises(MissingExtra, match=r"srl-env\[gem\]"):
        srl_env.make("gem:game:GuessTheNumber-v0-hard").reset()


def test_gems_own_environments_are_taken_by_their_ids() -> None:
    pytest.importorskip("gem")
    env = srl_env.make("gem:game:GuessTheNumber-v0-hard")
    env.reset(seed=0)
    answer = env.unwrapped.world.env.game_number
    _, reward, terminated, _, info = env.step(f"<think>luck</think>\\boxed{{{answer}}}")
    assert (reward, terminated, info["verdict"]["correct"]) == (1.0, True, True)
    srl_env.check_env("gem:game:GuessTheNumber-v0-hard", problems=2, hostile=100, seconds=2)
    with pytest.raises(UnknownName, match="environment of GEM"):
        srl_env.make("gem:game:Guess-v0").reset()


def test_a_board_that_stands_beside_the_observation_is_shown() -> None:
    env = GEMEnv(Board, format=ThinkTags(require_thought=False))
    observation, _ = env.reset(options={"problem": 0})
    assert "Game. Guess the number" in observation
    assert "\n[.X.]" in observation
    assert "\n[try 1]" in env.step(str((number(env) + 1) % 100))[0]

"""Rollouts: one batch a round, token-exact steps, failures apart."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure, PolicyFailure, PromptRefused, UnknownName
from srl_env.policy import Generation, Sampling
from srl_env.rollout import EnvPool, Episode, Start, Step, rollout
from srl_env.testing import Cheater, CountingEnv, FailingVerifier, ScriptedPolicy, SlowWorldEnv
from srl_env.text.format import Brackets
from srl_env.text.prompt import Messages


def say(action: str) -> str:
    return f"<think></think>{action}"


def pool(make: type[ReasoningEnv] = CountingEnv, **options: Any) -> EnvPool:
    return EnvPool(functools.partial(make, **options))


def starts(*problems: str, **options: Any) -> list[Start]:
    return [Start({"problem": problem, **options}, 0, i) for i, problem in enumerate(problems)]


def test_all_live_episodes_are_shown_to_the_policy_in_one_batch() -> None:
    policy = ScriptedPolicy([say("x")])
    episodes = rollout(pool(), policy, starts("count-2", "count-4", "count-3"))
    assert [len(batch) for batch in policy.shown] == [3, 3, 3, 2, 1]
    assert [len(episode.steps) for episode in episodes] == [3, 5, 4]
    assert [episode.problem_id for episode in episodes] == ["count-2", "count-4", "count-3"]
    assert [episode.group for episode in episodes] == [0, 1, 2]


def test_a_step_holds_what_was_shown_and_what_was_said() -> None:
    policy = ScriptedPolicy([say("say 1"), "broken"])
    (episode,) = rollout(pool(), policy, starts("count-2", start_step=1))
    first, second = episode.steps
    assert list(first.messages) == policy.shown[0][0]
    assert first.messages[-1]["content"].endswith("Solution so far:\nsay 1")
    assert first.generation == Generation(say("say 1"))
    assert (first.action, first.index, first.format_ok, first.legal) == ("say 1", 1, True, False)
    assert first.reward == pytest.approx(0.8)
    assert first.reward_parts == {"similarity": pytest.approx(0.8), "format": 1.0}
    assert (second.index, second.reward, second.format_ok) == (2, -1.0, False)
    assert (first.expert_action, second.expert_action) == ("say 2", "the sum=3!")
    assert (episode.start_step, episode.reward_mode) == (1, "srl")
    assert (episode.continuation, episode.granularity) == ("expert", "step")
    assert episode.total_reward == pytest.approx(-0.2)
    assert (episode.verdict, episode.correct, episode.failure) == (None, None, None)


def test_a_privileged_policy_sees_the_environments() -> None:
    for mode, total in (("srl", 4.0), ("rlvr", 1.0), ("holistic", 1.0)):
        (episode,) = rollout(pool(), Cheater(), starts("count-3", reward_mode=mode))
        assert episode.total_reward == total
        assert episode.correct is (None if mode == "srl" else True)


def test_stop_strings_are_the_formats_unless_given_or_a_whole_solution_is_asked() -> None:
    policy = ScriptedPolicy(["the sum=3!;"])
    envs = pool(format=Brackets(), reward_mode="rlvr")
    mixed = starts("count-2") + starts("count-2", granularity="solution")
    rollout(envs, policy, mixed, Sampling(temperature=0.5))
    assert policy.samplings == [Sampling(0.5, stop=(";",)), Sampling(0.5)]
    rollout(envs, policy, starts("count-2"), Sampling(stop=("!",)))
    assert policy.samplings[-1].stop == ("!",)


def test_a_failing_verifier_makes_a_failed_episode() -> None:
    envs = pool(verifier=FailingVerifier(), reward_mode="rlvr")
    (episode,) = rollout(envs, ScriptedPolicy([say("say 1"), say("the x")]), starts("count-2"))
    assert math.isnan(episode.total_reward)
    assert (episode.verdict, episode.correct) == (None, None)
    assert episode.failure == {"type": "VerifierTimeout", "message": "no answer within 0 s"}
    assert [step.failure is None for step in episode.steps] == [True, False]
    assert episode.steps[0].reward == 0.0


def test_a_failing_reset_makes_an_episode_without_steps() -> None:
    envs = pool(SlowWorldEnv, fail_at=0, reward_mode="rlvr")
    (episode,) = rollout(envs, ScriptedPolicy(["x"]), starts("count-2"))
    assert (episode.problem_id, episode.steps) == ("count-2", ())
    assert episode.failure is not None
    assert episode.failure["type"] == "WorldFailure"
    assert math.isnan(episode.total_reward)


@dataclass
class ShortOfRoom(ScriptedPolicy):
    """Refuses prompts that hold a word; so many times, where it is said how often."""

    word: str = "xyzzy"
    times: int = 10**9
    refused: int = 0

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Any]:
        return [self._answer(messages, sampling) for messages in batch]

    def _answer(self, messages: Messages, sampling: Sampling) -> Generation | Failure:
        if self.refused < self.times and self.word in messages[-1]["content"]:
            self.refused += 1
            return PromptRefused("no room in a context of 9")
        return super().generate([messages], sampling)[0]


SAID = ["<think></think>xyzzy", "<think></think>the sum=3!"]


@pytest.mark.parametrize(
    ("policy", "continuation", "rewards", "correct", "fault", "failure"),
    [
        (
            ShortOfRoom(SAID),
            "policy",
            [0.0],
            False,
            "PromptRefused: no room in a context of 9",
            None,
        ),
        (ShortOfRoom(SAID, times=1), "policy", [0.0, 1.0], True, None, None),
        (ShortOfRoom(SAID, word="Count"), "policy", [], None, None, "PromptRefused"),
        (ShortOfRoom(SAID, word="say 1"), "expert", [0.0], None, None, "PromptRefused"),
    ],
)
def test_a_prompt_that_is_refused_for_what_the_policy_wrote_is_the_policys_fault(
    policy: ShortOfRoom,
    continuation: str,
    rewards: list[float],
    correct: bool | None,
    fault: str | None,
    failure: str | None,
) -> None:
    options = {"problem": "count-2", "reward_mode": "rlvr", "continuation": continuation}
    (episode,) = rollout(pool(), replace(policy), [Start(options)])
    assert [step.reward for step in episode.steps] == rewards
    assert (episode.correct, episode.policy_fault) == (correct, fault)
    assert (episode.failure or {}).get("type") == failure


def test_wrong_options_are_the_users_error() -> None:
    with pytest.raises(UnknownName, match="no reset option 'mode'"):
        rollout(pool(), ScriptedPolicy(["x"]), [Start({"mode": "srl"})])


def test_a_policy_that_loses_a_generation_is_told_so() -> None:
    class Short:
        def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
            return [Generation("x")]

    with pytest.raises(BadOption, match="one generation for each prompt; got 1 for 2"):
        rollout(pool(), Short(), starts("count-2", "count-3"))


def test_no_starts_give_no_episodes() -> None:
    assert rollout(pool(), ScriptedPolicy(["x"]), []) == []


def test_equal_starts_of_a_group_begin_alike_and_draw_their_random_rewards_apart() -> None:
    same = [Start({"reward_mode": "random"}, 5, 0)] * 64
    episodes = rollout(pool(), ScriptedPolicy([say("the x")] * 64), same)
    assert len({episode.problem_id for episode in episodes}) == 1
    rewards = [episode.total_reward for episode in episodes]
    assert 20 < sum(rewards) < 44
    numbered = [replace(same[0], options={**same[0].options, "copy": i}) for i in range(64)]
    for backwards in (numbered[::-1], numbered[40:][::-1]):  # whoever runs which of them
        again = rollout(pool(), ScriptedPolicy([say("the y")] * len(backwards)), backwards)
        assert [episode.total_reward for episode in again] == rewards[::-1][: len(backwards)]


def test_the_pool_makes_environments_once_and_closes_them() -> None:
    closed: list[ReasoningEnv] = []

    class Closing(CountingEnv):
        def close(self) -> None:
            closed.append(self)

    envs = pool(Closing)
    first, second = envs.take(2)
    assert envs.take(1) == [first]
    assert envs.take(3)[:2] == [first, second]
    envs.close()
    assert len(closed) == 3


def test_episodes_go_through_json_and_back() -> None:
    policy = ScriptedPolicy([say("say 1"), "\ud800 broken", say("π")])
    for episode in rollout(pool(), policy, starts("count-2", "count-3")):
        text = json.dumps(episode.to_json(), allow_nan=False, ensure_ascii=False)
        assert Episode.from_json(json.loads(text.encode())) == episode


def test_failed_episodes_go_through_json_as_null() -> None:
    generation = Generation("x", (1, 2), (-0.5, -0.25), (7,), "length")
    failure = {"type": "VerifierTimeout", "message": "late"}
    step = Step(
        ({"role": "user", "content": "?"},), generation, "x", 0, math.nan, {}, True, None, failure
    )
    episode = Episode("p", 0, "rlvr", "policy", "step", (step,), None, failure, 3)
    row = json.loads(json.dumps(episode.to_json(), allow_nan=False))
    assert row["steps"][0]["reward"] is None
    back = Episode.from_json(row)
    assert math.isnan(back.steps[0].reward)
    assert back.steps[0].generation == generation
    assert (back.failure, back.group, back.verdict) == (failure, 3, None)


class Unreliable:
    """Says "say 1", but cannot be reached for the prompts it is shown at the given places."""

    def __init__(self, *lost: int) -> None:
        self.lost, self.shown = lost, 0

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        numbers = range(self.shown, self.shown + len(batch))
        self.shown += len(batch)
        lost = PolicyFailure("the server is gone")
        return [lost if n in self.lost else Generation(say("say 1")) for n in numbers]


def test_a_failure_of_the_policy_ends_its_episode_alone_and_takes_no_step() -> None:
    lost, sound = rollout(pool(), Unreliable(2), starts("count-2", "count-2"))
    assert lost.failure == {"type": "PolicyFailure", "message": "the server is gone"}
    assert (len(lost.steps), lost.steps[0].reward, lost.correct) == (1, 1.0, None)
    assert math.isnan(lost.total_reward)
    assert (len(sound.steps), sound.failure) == (3, None)


def test_an_episode_whose_first_completion_failed_has_no_steps() -> None:
    (lost,) = rollout(pool(), Unreliable(0), starts("count-2"))
    assert (lost.steps, lost.problem_id) == ((), "count-2")
    assert lost.failure is not None

"""Batches do what single steps do, in fewer calls."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from gymnasium.error import ResetNeeded

from srl_env.batch.stepping import reset_many, step_many
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure, VerifierCrash, VerifierTimeout, WorldFailure
from srl_env.problem import Problem
from srl_env.rewards.record import StepRecord, StepReward
from srl_env.rewards.registry import FunctionMode, reward_modes
from srl_env.testing import CountingEnv, CountingVerifier, SlowWorldEnv
from srl_env.verifiers.protocol import Verdict


def say(action: str) -> str:
    return f"<think></think>{action}"


@dataclass
class CountedVerifier:
    """Notes the sizes of its batches; fails on the answers it is told to."""

    failing: tuple[str, ...] = ()
    batches: list[int] = field(default_factory=list)
    singles: int = 0

    def extract(self, text: str) -> str | None:
        return CountingVerifier().extract(text)

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        self.singles += 1
        if actions[-1] in self.failing:
            raise VerifierTimeout(actions[-1])
        return CountingVerifier().verify(problem, actions)

    def verify_many(
        self, items: Sequence[tuple[Problem, Sequence[str]]]
    ) -> list[Verdict | Failure]:
        self.batches.append(len(items))
        if "all" in self.failing:
            raise VerifierCrash("all gone")
        return [
            VerifierTimeout(actions[-1])
            if actions[-1] in self.failing
            else CountingVerifier().verify(problem, actions)
            for problem, actions in items
        ]


def started(
    count: int, make: type[ReasoningEnv] = CountingEnv, **options: object
) -> list[ReasoningEnv]:
    envs = [make(**options) for _ in range(count)]
    for env in envs:
        env.reset(seed=0, options={"problem": "count-2"})
    return envs


def test_a_batch_of_mixed_modes_gives_what_single_steps_give() -> None:
    modes = [*reward_modes(), *reward_modes()]
    batch, single = [
        [CountingEnv(reward_mode=mode, continuation="policy") for mode in modes] for _ in range(2)
    ]
    for seed, envs in enumerate(zip(batch, single, strict=True)):
        for env in envs:
            env.reset(seed=seed, options={"problem": "count-2"})
    for action in ("say 1", "broken", "the sum=3!"):
        live = [i for i, env in enumerate(single) if env._state is not None and env._state.open]
        texts = [action if action == "broken" else say(action)] * len(live)
        expected = [single[i].step(text) for i, text in zip(live, texts, strict=True)]
        assert step_many([batch[i] for i in live], texts) == expected


def test_verdicts_are_made_in_one_batch_by_verifier() -> None:
    verifier, other = CountedVerifier(), CountedVerifier()
    envs = started(5, verifier=verifier, reward_mode="rlvr")
    envs += started(2, verifier=other, reward_mode="rlvr")
    results = step_many(envs, [say("the sum=3!")] * 4 + [say("say 1")] + [say("the x")] * 2)
    assert [result[1] for result in results] == [1.0] * 4 + [0.0] * 3
    assert (verifier.batches, verifier.singles) == ([4], 0)
    assert other.batches == [2]


def test_rewards_are_made_in_one_batch_by_mode() -> None:
    sizes = []

    @dataclass(frozen=True)
    class Sized:
        name: str = "sized"
        default_continuation: str = "policy"
        default_granularity: str = "step"
        needs_expert: bool = False

        def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
            sizes.append(len(steps))
            return [StepReward(1.0, {})] * len(steps)

    mode = Sized()
    envs = started(3, reward_mode=mode) + started(2, reward_mode="rlvr")
    assert [r[1] for r in step_many(envs, [say("x")] * 5)] == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert sizes == [3]


def test_one_failing_verdict_leaves_the_others_alone() -> None:
    verifier = CountedVerifier(failing=("the trap",))
    envs = started(3, verifier=verifier, reward_mode="rlvr")
    results = step_many(envs, [say("the sum=3!"), say("the trap"), say("the x")])
    assert results[0][1] == 1.0
    assert results[1][1] == 0.0
    assert results[1][4]["verdict"] == {
        "correct": False,
        "answer": "trap",
        "policy_fault": "VerifierTimeout: the trap",
    }
    assert results[2][4]["verdict"]["correct"] is False


def test_where_a_verifier_fails_on_the_whole_batch_each_is_verified_alone() -> None:
    envs = started(3, verifier=CountedVerifier(failing=("all",)), reward_mode="rlvr")
    results = step_many(envs, [say("the x"), say("the sum=3!"), say("say 1")])
    assert [result[1] for result in results] == [0.0, 1.0, 0.0]
    assert not any("failure" in result[4] for result in results)


@dataclass
class FlakyVerifier(CountedVerifier):
    """Fails on "the trap" so many times, and then on nothing."""

    times: int = 1

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        if actions[-1] == "the trap" and self.times:
            self.times -= 1
            raise VerifierCrash("out of memory")
        return CountingVerifier().verify(problem, actions)

    def verify_many(
        self, items: Sequence[tuple[Problem, Sequence[str]]]
    ) -> list[Verdict | Failure]:
        return [_or_failure(self, *item) for item in items]


class DeadVerifier(FlakyVerifier):
    """Fails on everything."""

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        raise VerifierCrash("out of order")


def _or_failure(
    verifier: FlakyVerifier, problem: Problem, actions: Sequence[str]
) -> Verdict | Failure:
    try:
        return verifier.verify(problem, actions)
    except Failure as failure:
        return failure


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("verifier", "reward", "fault", "failure"),
    [
        (FlakyVerifier(times=1), 0.0, None, None),
        (FlakyVerifier(times=99), 0.0, "VerifierCrash: out of memory", None),
        (DeadVerifier(), math.nan, None, "VerifierCrash"),
    ],
)
def test_a_verifier_that_fails_twice_on_a_text_and_not_on_the_reference_makes_it_wrong(
    verifier: CountedVerifier, count: int, reward: float, fault: str | None, failure: str | None
) -> None:
    verifier = replace(verifier)
    envs = started(count, verifier=verifier, reward_mode="rlvr")
    texts = [say("the trap")] + [say("the sum=3!")] * (count - 1)
    stepped = step_many(envs, texts) if count > 1 else [envs[0].step(texts[0])]
    _, paid, _, _, info = stepped[0]
    assert paid == pytest.approx(reward, nan_ok=True)
    assert info.get("verdict", {}).get("policy_fault") == fault
    assert info.get("failure", {}).get("type") == failure
    if failure is None:
        assert [result[1] for result in stepped[1:]] == [1.0] * (count - 1)


class AfterAMarker(CountedVerifier):
    """Reads an answer after "####", which the problem's own answer lacks; fails on "trap"."""

    def extract(self, text: str) -> str | None:
        return text.partition("####")[2].strip() or None

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        if "trap" in actions[-1]:
            raise VerifierCrash("out of memory")
        answer = self.extract(actions[-1])
        return Verdict(answer == problem.answer, answer)


def test_a_reference_in_another_form_shows_that_a_verifier_works() -> None:
    problems = ListSource([Problem("p", "2 + 3?", answer="5")])
    env = ReasoningEnv(problems, AfterAMarker(), reward_mode="rlvr", granularity="solution")
    env.reset(seed=0)
    _, reward, _, _, info = env.step(say("#### trap"))
    assert (reward, info["verdict"]["policy_fault"]) == (0.0, "VerifierCrash: out of memory")


def test_one_failing_score_leaves_the_others_alone() -> None:
    def score(step: StepRecord) -> float:
        if "trap" in step.completion:
            raise VerifierTimeout("trapped")
        return 0.25

    envs = started(3, reward_mode=FunctionMode("trapped", score))
    results = step_many(envs, [say("x"), say("trap"), say("y")])
    assert [results[0][1], results[2][1]] == [0.25, 0.25]
    assert results[1][1] == 0.25  # of a step that says nothing
    assert "failure" not in results[1][4]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("word", "times", "reward", "fault", "failure"),
    [
        ("trap", 1, 1.0, None, None),
        ("trap", 99, -0.5, "VerifierTimeout: the judge hangs", None),
        ("", 99, math.nan, None, "VerifierTimeout"),
    ],
)
def test_a_text_that_a_reward_mode_fails_at_twice_is_rewarded_as_a_wrong_one(
    count: int, word: str, times: int, reward: float, fault: str | None, failure: str | None
) -> None:
    left = [times]

    def score(step: StepRecord) -> float:
        if word in step.completion and left[0]:
            left[0] -= 1
            raise VerifierTimeout("the judge hangs")
        return 1.0 if step.verdict is not None and step.verdict.correct else -0.5

    envs = started(count, reward_mode=FunctionMode("judged", score))
    texts = ["<think>trap</think>the sum=3!", *[say("the sum=3!")] * (count - 1)]
    results = step_many(envs, texts) if count > 1 else [envs[0].step(texts[0])]
    _, paid, _, _, info = results[0]
    assert paid == pytest.approx(reward, nan_ok=True)
    assert info.get("verdict", {}).get("policy_fault") == fault
    assert info.get("verdict", {}).get("correct") == (None if failure else fault is None)
    assert info.get("failure", {}).get("type") == failure
    if word:
        assert [result[1] for result in results[1:]] == [1.0] * (count - 1)


def test_one_failing_world_leaves_the_others_alone() -> None:
    envs = [SlowWorldEnv(fail_at=1 if i == 1 else None, reward_mode="rlvr") for i in range(3)]
    reset_many(envs, [0] * 3, [None] * 3)
    results = step_many(envs, [say("x")] * 3)
    assert [result[3] for result in results] == [False, True, False]
    assert results[1][4]["failure"]["type"] == "WorldFailure"


def test_nothing_moves_where_one_action_cannot_be_taken() -> None:
    envs = started(2)
    with pytest.raises(BadOption, match="an action must be a str"):
        step_many(envs, [say("say 1"), None])  # type: ignore[list-item]
    assert envs[0].step_index == 0
    with pytest.raises(ResetNeeded):
        step_many([*envs, CountingEnv()], [say("say 1")] * 3)
    assert envs[0].step_index == 0
    with pytest.raises(ValueError, match="shorter"):
        step_many(envs, [say("say 1")])


class OwnJudge(CountingEnv):
    def judge(self, actions: Sequence[str]) -> Verdict:
        return Verdict(True, f"{len(actions)} actions")


def test_an_environments_own_judge_is_asked_instead_of_the_verifier() -> None:
    verifier = CountedVerifier()
    envs = started(2, OwnJudge, verifier=verifier, reward_mode="rlvr")
    results = step_many(envs, [say("the x")] * 2)
    assert [result[4]["verdict"]["answer"] for result in results] == ["1 actions"] * 2
    assert (verifier.batches, verifier.singles) == ([], 0)


class DeadJudge(CountingEnv):
    """Judges by itself, and always in vain."""

    def judge(self, actions: Sequence[str]) -> Verdict:
        raise VerifierTimeout("no verdict")


class PickyJudge(CountingEnv):
    """Judges by itself, and in vain where a step says 7."""

    def judge(self, actions: Sequence[str]) -> Verdict:
        if "say 7" in actions:
            raise VerifierTimeout("no verdict")
        return self.verifier.verify(self.problem, actions)


@pytest.mark.parametrize(("kind", "masked"), [(DeadJudge, True), (PickyJudge, False)])
def test_the_control_of_an_own_judge_is_that_judge(kind: type[CountingEnv], masked: bool) -> None:
    env = kind(reward_mode="rlvr", continuation="policy")
    env.reset(options={"problem": "count-2", "max_steps": 1})
    *_, info = env.step("<think></think>\nsay 7")
    assert ("failure" in info) is masked
    assert ("policy_fault" in (info.get("verdict") or {})) is not masked


def test_failing_resets_are_returned_not_raised() -> None:
    envs = [SlowWorldEnv(fail_at=0 if i else None, reward_mode="rlvr") for i in range(2)]
    good, bad = reset_many(envs, [1, 2], [{"problem": 0}, None])
    assert not isinstance(good, Failure)
    assert good[1]["problem_id"] == "count-2"
    assert isinstance(bad, WorldFailure)


def test_slow_worlds_wait_side_by_side() -> None:
    all_there = threading.Barrier(16, timeout=60)  # one after the other, none gets past it

    class Meeting(SlowWorldEnv):
        def world_step(self, action: str) -> str:
            all_there.wait()
            return super().world_step(action)

    envs: list[ReasoningEnv] = [Meeting(reward_mode="rlvr") for _ in range(16)]
    reset_many(envs, list(range(16)), [None] * 16)
    results = step_many(envs, [say("x")] * 16)
    assert not any("failure" in info for *_, info in results)

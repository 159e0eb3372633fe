"""Each check finds the broken environment that it is there for, and says where to look."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

import srl_env
from srl_env.check import CHECKS, Checker, CheckResult, Finding, robustness
from srl_env.check.report import one_per_mistake
from srl_env.check.robustness import hostile_text
from srl_env.data import JsonlSource, ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, VerifierTimeout
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.rewards.record import StepRecord
from srl_env.rewards.registry import FunctionMode
from srl_env.testing import CountingEnv, CountingVerifier, SlowWorldEnv, counting_problem
from srl_env.verifiers import NumericVerifier
from srl_env.verifiers.protocol import Verdict

HERE = "test_broken.py:"


def check(env: ReasoningEnv | str, name: str, **options: Any) -> CheckResult:
    (full,) = [known for known in CHECKS if name in known]
    return Checker(env, **options).run(full)


def finding(env: ReasoningEnv | str, name: str, **options: Any) -> Finding:
    """The first thing that one check finds."""
    result = check(env, name, **options)
    assert result.findings, str(result)
    return result.findings[0]


def steps(*actions: str) -> ExpertTrajectory:
    return ExpertTrajectory(tuple(map(ExpertStep, actions)))


def sums(*problems: Problem, **options: Any) -> ReasoningEnv:
    return ReasoningEnv(ListSource(problems), NumericVerifier(), **options)


# Full marks


def test_a_wrong_answer_in_the_data_is_found_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text('{"prompt": "1 + 1?", "answer": "3", "steps": ["1 + 1 = 2", "#### 2"]}\n')
    env = ReasoningEnv(JsonlSource(file), NumericVerifier())
    found = finding(env, "at the end (rlvr)", problems=1)
    assert "return 0.0 for the expert" in found.seen
    found = finding(env, "whole solution", problems=1)
    assert found.where == f"{file}:1"
    assert f"where: {file}:1" in str(found)


def test_a_similarity_that_is_less_for_equal_steps_is_found() -> None:
    env = CountingEnv(measure=lambda action, context: 0.5)
    assert "reward 0.5" in finding(env, "step by step (srl)").seen
    assert "{'similarity': 0.5}" in finding(env, "in the other modes").seen


def test_a_similarity_that_likes_every_step_is_found() -> None:
    env = CountingEnv(measure=lambda action, context: 1.0)
    assert "reward 1.0 for 'say 2'" in finding(env, "shuffled").seen
    assert "earns 1.00 a step" in finding(env, "echo").seen


def test_an_environment_may_accept_a_step_of_another_place() -> None:
    class Lenient(CountingEnv):
        def accepts(self, action: str, context: StepRecord) -> float:
            return float(action in context.expert_actions)

    assert check(Lenient(measure="accepts"), "shuffled").findings == ()


def test_a_similarity_above_one_is_out_of_range() -> None:
    env = CountingEnv(measure=lambda action, context: 2.0)
    found = {found.seen[:24]: found for found in check(env, "in their range").findings}
    assert found["reward 2.0 in mode srl f"].expected == (
        "a reward from -1 to 1, as the mode states"
    )


def test_a_reward_that_leaves_the_stated_range_is_found() -> None:
    def rich(step: StepRecord) -> float:
        return 3.0

    mode = FunctionMode("rich", rich, reward_range=(0.0, 1.0))
    srl_env.rewards.registry.register_reward_mode(mode)
    try:
        assert "reward 3.0 in mode rich" in finding(CountingEnv(), "in their range").seen
    finally:
        del srl_env.rewards.registry._REGISTRY["rich"]


class Careless(CountingVerifier):
    """Takes any answer that is written as one."""

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        answer = self.extract(actions[-1])
        return Verdict(answer is not None, answer)


def test_a_verifier_that_takes_another_problems_answer_is_found() -> None:
    found = finding(CountingEnv(verifier=Careless()), "shuffled")
    assert "for the solution of 'count-" in found.seen
    assert HERE in str(found.where)


def test_where_all_answers_are_equal_they_are_not_swapped() -> None:
    way = steps("1 + 1 = 2", "#### 2")
    env = sums(Problem("a", "1 + 1?", "2", (way,)), Problem("b", "2 + 0?", "2.0", (way,)))
    result = check(env, "shuffled")
    assert result.passed
    assert result.notes == ("answers not swapped: no two problems with different ones",)


def test_an_answer_that_stands_in_the_prompt_is_found_by_echoing() -> None:
    problem = Problem("p", "#### 4\nis the answer to 2 + 2", "4", (steps("2 + 2 = 4", "#### 4"),))
    found = finding(sums(problem), "echo")
    assert "start_step 0, for repeating the problem" in found.seen


# The same again


def test_a_world_that_goes_on_otherwise_after_restore_is_found() -> None:
    class Forgetful(SlowWorldEnv):
        def world_restore(self, state: Any) -> None:
            self.world_reset(self.problem)

    found = finding(Forgetful(), "snapshots")
    assert "continues differently after restore()" in found.seen
    assert HERE in str(found.where)


@pytest.mark.parametrize("made_by", ["world_reset", "world_step"])
@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (threading.Lock, "cannot pickle '_thread.lock' object"),
        (lambda: (n for n in "ab"), "cannot pickle 'generator' object"),
        (lambda: lambda: 1, "the state of the world: "),  # copied by deepcopy, not by pickle
    ],
)
def test_a_world_that_cannot_be_stored_names_the_state_and_both_methods(
    made_by: str, make: Callable[[], Any], seen: str
) -> None:
    class Holding(SlowWorldEnv):
        def world_reset(self, problem: Problem) -> None:
            super().world_reset(problem)
            self.world = make() if made_by == "world_reset" else "plain"

        def world_step(self, action: str) -> str:
            self.world = make()
            return "done"

    result = check(Holding(), "snapshots")
    assert len(result.findings) == 1
    found = str(result.findings[0])
    assert seen in found
    assert "self.world, or override world_state() to return" in found
    assert "world_restore() to rebuild" in found
    assert HERE in found


def test_a_world_that_cannot_be_copied_is_one_line() -> None:
    env = SlowWorldEnv()
    env.reset(options={"continuation": "policy"})
    env.world = threading.Lock()
    with pytest.raises(BadOption) as error:
        env.snapshot()
    assert str(error.value) == (
        "self.world of SlowWorldEnv must be data that can be copied; got TypeError: cannot pickle "
        "'_thread.lock' object. Fix: keep it out of self.world, or override "
        "SlowWorldEnv.world_state() and world_restore()"
    )


# One finding per mistake


def seen(*texts: str) -> tuple[Finding, ...]:
    return one_per_mistake(Finding(text, "right", "fix it") for text in texts)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["reward 0.5 for problem 'a'", "reward -1 for problem 'b'"], 1),
        (["reward 1e-05 for problem 'a'", "reward 1 for problem 'a'"], 1),
        (["the expert's step 0 of 'a'", "the expert's step 11 of \"b's\""], 1),
        (["legal() calls the expert's step 0 of 'a' wrong", "reward 0 for step 0 of 'a'"], 2),
        (["verdict {'correct': False} for 'a'", "verdict {'correct': True, 'x': 1} for 'b'"], 1),
        (["verdict None for 'a'", "verdict True for 'b'"], 1),
        (["observations differ between modes rlvr and srl", "… modes rlvr and random"], 2),
        (["differ between modes rlvr and srl", "differ between modes rlvr and random"], 1),
        (["KeyError: 'x'", "KeyError: 'y'", "TypeError: 'x'"], 2),
    ],
)
def test_findings_that_differ_only_in_values_are_one(texts: list[str], found: int) -> None:
    assert len(seen(*texts)) == found


def test_a_finding_says_how_many_are_like_it() -> None:
    (found,) = seen(*(f"reward 0.5 for problem 'p{number}'" for number in range(15)))
    assert found.similar == 14
    assert str(found).startswith("seen: reward 0.5 for problem 'p0' (and 14 more like this)\n")
    assert "more like this" not in str(seen("reward 0.5", "reward 0.5")[0])


def test_a_wrong_similarity_is_one_finding_for_all_problems_and_steps() -> None:
    result = check(CountingEnv(measure=lambda action, context: 0.5), "step by step (srl)")
    (found,) = result.findings
    assert found.similar > 1


# Leaks


class Telling(ReasoningEnv):
    """Shows something in its info that depends on the problem."""

    def __init__(self, shown: Callable[[Problem], Any]) -> None:
        ways = [Problem(f"{n}", f"Say {n} and 4.", f"{n + 4}", (steps("so", f"#### {n + 4}"),))
                for n in (1, 2, 3)]  # fmt: skip
        super().__init__(ListSource(ways, "say"), NumericVerifier())
        self.shown = shown

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observation, info = super().reset(seed=seed, options=options)
        return observation, {**info, "deep": [{"shown": self.shown(self.problem)}]}


def test_a_short_answer_in_the_info_of_every_problem_is_found_with_its_place() -> None:
    for shown in (lambda problem: problem.answer, lambda problem: int(problem.answer)):
        found = finding(Telling(shown), "nothing leaks", problems=8)
        assert (
            found.seen == "info['deep'][0]['shown'] is the answer of each of 3 problems at step 0"
        )
        assert HERE in str(found.where)


def test_what_is_the_answer_of_one_problem_by_chance_is_no_leak() -> None:
    assert check(Telling(lambda problem: "5"), "nothing leaks", problems=8).mark == "ok"


# Splits


class SameSplits(CountingEnv):
    """Gives the same problems in every split."""

    def __init__(self, split: Literal["train", "test", "all"] = "train", **options: Any) -> None:
        super().__init__(**options)


class HashedSplits(ReasoningEnv):
    """Divides the same problems by their ids."""

    def __init__(self, split: str = "train", **options: Any) -> None:
        problems = [counting_problem(n) for n in range(2, 40)]
        fractions = {"train": 0.5, "test": 0.5}
        super().__init__(
            ListSource(problems, "c", split=split, fractions=fractions),
            CountingVerifier(),
            **options,
        )


def test_splits_that_share_problems_are_found() -> None:
    seen = finding(SameSplits(), "splits").seen
    assert seen.startswith("3 of the first problems of split 'train' are in 'test' too")


class Secrets(ReasoningEnv):
    """Says the same in each problem; what differs is hidden in the world."""

    def __init__(self, split: Literal["train", "test"] = "train", shared: int = 0) -> None:
        first = 0 if split == "train" else 3 - shared
        problems = [
            Problem(f"{split}/{n}", "Guess my number.", metadata={"number": n})
            for n in range(first, first + 3)
        ]
        super().__init__(ListSource(problems), NumericVerifier(), reward_mode="rlvr")

    def world_reset(self, problem: Problem) -> None:
        self.number = problem.metadata["number"]


class SharedSecret(Secrets):
    """One of whose secrets is in both splits."""

    def __init__(self, split: Literal["train", "test"] = "train") -> None:
        super().__init__(split, shared=1)


def test_the_secret_of_a_world_tells_its_problems_apart() -> None:
    assert check(Secrets(), "splits").mark == "ok"


def test_worlds_with_the_same_secret_in_two_splits_are_found() -> None:
    seen = finding(SharedSecret(), "splits").seen
    assert seen.startswith("1 of the first problems of split 'train'")


def test_disjoint_splits_pass_and_classes_without_are_skipped() -> None:
    assert check(HashedSplits(), "splits").mark == "ok"
    result = check(CountingEnv(), "splits")
    assert (result.mark, result.notes) == ("skip", ("the class takes no split",))


# Hostile texts


@dataclass(frozen=True)
class Endless(CountingVerifier):
    """Never answers to digits."""

    deadline_s: float = -4.9 / 3  # three times that with the grace of five seconds: a tenth of one

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        while "999" in actions[-1]:
            time.sleep(0.001)
        return super().verify(problem, actions)


def test_a_verifier_that_does_not_end_is_found_with_the_line_it_is_in() -> None:
    found = finding(CountingEnv(verifier=Endless()), "deadline")
    assert "verifier.verify() had not ended after 0.1 s" in found.seen
    assert HERE in str(found.where)


def test_a_verifier_that_fails_at_its_deadline_passes() -> None:
    class Late(CountingVerifier):
        def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
            raise VerifierTimeout("too late")

    assert check(CountingEnv(verifier=Late()), "deadline").passed


def test_an_exception_for_a_hostile_text_is_found_with_the_line_and_the_text() -> None:
    class Fragile(CountingVerifier):
        def extract(self, text: str) -> str | None:
            return str(int(text)) if text.strip().startswith("0") else super().extract(text)

    result = check(CountingEnv(verifier=Fragile()), "hostile", hostile=2000)
    assert 1 <= len(result.findings) <= 3
    assert "ValueError: invalid literal for int()" in result.findings[0].seen
    assert "on the text '" in result.findings[0].seen
    assert HERE in str(result.findings[0].where)


def test_a_reward_that_is_no_number_is_found() -> None:
    env = CountingEnv(measure=lambda action, context: float("nan") if "9" in action else 0.5)
    found = finding(env, "hostile", hostile=1000)
    assert "must give one finite reward" in found.seen


def test_ten_thousand_texts_are_the_default_and_time_limits_them() -> None:
    assert Checker(CountingEnv()).trial.hostile == 10_000
    result = check(CountingEnv(), "hostile", seconds=0.2)
    assert result.mark == "ok"
    assert re.fullmatch(r"[\d,]+ of 10,000 texts in 0.2 s", result.notes[0])


@pytest.mark.parametrize(
    ("name", "settings", "note"),
    [
        ("hostile", {"seconds": 1e-9}, "0 of 10,000 texts in 1e-09 s"),
        ("hostile", {"hostile": 0}, "0 of 0 texts in 20 s"),
        ("deadline", {"seconds": 1e-9}, "0 of 19 texts in 1e-09 s"),
    ],
)
def test_a_check_that_came_to_no_text_is_skipped(
    name: str, settings: dict[str, Any], note: str
) -> None:
    result = check(CountingEnv(), name, **settings)
    assert (result.mark, result.notes) == ("skip", (note,))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"seconds": -1}, "seconds must be seconds, above 0 .*; got -1"),
        ({"seconds": 0.0}, "seconds must be seconds, above 0 .*; got 0.0"),
        ({"seconds": float("nan")}, "seconds must be seconds, above 0 .*; got nan"),
        ({"seconds": float("inf")}, "seconds must be seconds, above 0 .*; got inf"),
        ({"seconds": "20"}, "seconds must be seconds, above 0 .*; got '20'"),
        ({"problems": 0}, "problems must be a whole number, at least 1; got 0"),
        ({"hostile": -1}, "hostile must be a whole number, at least 0; got -1"),
    ],
)
def test_numbers_that_would_check_nothing_are_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        srl_env.check_env(CountingEnv(), **setting)


def test_hostile_texts_are_the_same_every_time_and_many() -> None:
    env = CountingEnv()
    texts = [hostile_text(env, number) for number in range(500)]
    assert texts == [hostile_text(env, number) for number in range(500)]
    assert len(set(texts)) > 450
    assert any("\ud800" in text for text in texts)
    assert any(len(text) > 5000 for text in texts)


def test_one_hostile_text_in_three_begins_like_a_step_of_the_experts() -> None:
    env = CountingEnv()
    env.reset(options={"problem": "count-4"})
    texts = [hostile_text(env, number) for number in range(3_000)]
    for tail in ("9**9**9", "(" * 300, "\ud800", '"\\ud800"', "\x1b]8;;", "\u202e", "9" * 5_000):
        assert any(re.search(rf"say \d?{re.escape(tail)}", text) for text in texts), tail
    assert any(text.startswith("say 9**9**9") for text in texts)
    assert any("<think></think>\nsay 9**9**9" in text for text in texts)


class Calculating(SlowWorldEnv):
    """Computes what a call asks for, in the form of the expert's calls alone."""

    slow_world = False

    def world_step(self, action: str) -> str:
        word, _, asked = action.partition(" ")
        if word != "say" or not re.fullmatch(r"[\d*+-]+", asked):
            return "no such call"
        try:
            return str(eval(asked)) if len(asked) < 20 else "too long"
        except (SyntaxError, ValueError, ZeroDivisionError, OverflowError) as error:
            return str(error)


@pytest.mark.parametrize("timeout", [60.0, None])
def test_a_world_that_hangs_on_a_call_in_the_experts_form_is_found_with_its_line(
    timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DEADLINE_S", "ANY_TIME_S", "_GRACE_S"):
        monkeypatch.setattr(robustness, name, 0.3)
    found = finding(Calculating(world_timeout_s=timeout), "hostile")
    assert re.match(r"env.step\(\) had not ended after 1.8 s on the text '.*9\*\*9", found.seen)
    assert "world_timeout_s" in found.advice
    assert HERE in str(found.where)


def test_texts_that_a_world_is_given_little_time_for_are_wrong_and_noted() -> None:
    result = check(Calculating(world_timeout_s=0.3), "hostile", hostile=700)
    assert result.passed
    assert re.search(r"\d of the texts were found responsible", result.notes[-1])


def test_a_text_that_alone_makes_a_verifier_fail_and_no_control_decides_is_found() -> None:
    class Late(CountingVerifier):
        def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
            if "9" in actions[-1]:
                raise VerifierTimeout("too late")
            return Verdict(False)

    found = finding(CountingEnv(verifier=Late()), "hostile", hostile=200)
    assert "of the texts ended in a failure and" in found.seen
    assert "control(problem)" in found.advice


def test_failures_under_hostile_texts_are_counted_and_no_fault() -> None:
    class Late(CountingVerifier):
        def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
            raise VerifierTimeout("too late")

    result = check(CountingEnv(verifier=Late()), "hostile", hostile=100)
    assert result.passed
    assert "of the texts ended in a failure" in result.notes[0]


# Ids, names


class TwoNames(ListSource):
    """Finds every problem at the first place."""

    def index_of(self, problem_id: str) -> int:
        return 0


def test_a_source_that_does_not_find_its_problems_is_found() -> None:
    env = CountingEnv()
    env.problems = TwoNames([counting_problem(n) for n in (2, 3, 4)])
    assert "at its index_of()" in finding(env, "problems are drawn", problems=8).seen


def test_where_no_problem_can_be_drawn_no_check_of_problems_passes() -> None:
    class Refusing(CountingEnv):
        def reset(self, **arguments: Any) -> Any:
            raise RuntimeError("not today")

    report = srl_env.check_env(Refusing(), raise_on_failure=False)
    results = {result.name: result for result in report.results}
    assert results["problems are drawn"].findings[0].seen == "RuntimeError: not today"
    assert results["nothing leaks"].mark == results["hostile text breaks nothing"].mark == "skip"
    assert results["nothing leaks"].notes == ("no problem could be drawn",)
    assert [name for name, result in results.items() if result.mark == "ok"] == ["repr is short"]


def test_offline_arguments_are_used_and_said() -> None:
    checker = Checker("srl/GSM8K-v0")
    assert checker.title == (
        "GSM8KEnv('gsm8k-sample/train'), made with its offline_kwargs: source='sample'"
    )
    assert Checker("srl/GSM8K-v0", source="sample", split="dev").title.endswith("dev')")


def test_an_exception_in_a_hook_names_its_line() -> None:
    class Raising(CountingEnv):
        def legal(self, problem: Problem, actions: Sequence[str], action: str) -> bool:
            raise RuntimeError("not today")

    found = finding(Raising(), "step by step")
    assert found.seen == "RuntimeError: not today"
    assert HERE in str(found.where)


def test_a_check_alone_draws_its_problems_first() -> None:
    checker = Checker(CountingEnv(), problems=2)
    assert checker.run("nothing leaks").passed
    assert len(checker.trial.problems) >= 1


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_passes_alone_on_a_good_environment(name: str) -> None:
    result = Checker(SlowWorldEnv(), hostile=100).run(name)
    assert result.passed, str(result)


def test_an_id_in_the_prompt_is_no_leak_and_results_print() -> None:
    problem = replace(counting_problem(3), id="count-3")
    env = CountingEnv()
    env.problems = ListSource([problem])
    assert str(check(env, "nothing leaks")) == "ok   nothing leaks"

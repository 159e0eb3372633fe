"""The checker passes what is right and names what is wrong, one broken promise at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from srl_env.check import CHECKS, CheckError, check_env
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.problem import ExpertTrajectory, Problem
from srl_env.testing import CountingEnv, CountingVerifier, SlowWorldEnv, counting_problem
from srl_env.text.format import ParsedStep, ThinkTags
from srl_env.verifiers.protocol import Verdict


def failed(env: ReasoningEnv) -> dict[str, str]:
    """What check_env finds wrong: the findings' texts by check."""
    report = check_env(env, raise_on_failure=False, hostile=200)
    return {
        result.name: "\n".join(map(str, result.findings))
        for result in report.results
        if not result.passed
    }


def with_problem(change: Callable[[Problem], Problem], **options: Any) -> ReasoningEnv:
    env = CountingEnv(**options)
    env.problems = ListSource((change(counting_problem(3)),))
    return env


@pytest.mark.parametrize("make", [CountingEnv, SlowWorldEnv])
def test_good_environments_pass_every_check(make: type[ReasoningEnv]) -> None:
    report = check_env(make(), hostile=500)
    assert report.passed
    assert [result.name for result in report.results] == list(CHECKS)
    assert str(report).startswith(f"{make.__name__}('counting/train')\nok   problems are drawn\n")


def test_an_environment_without_experts_passes() -> None:
    problem = Problem("p", "Count to 3, then add up.", "sum=6!")
    source = ListSource((problem,))
    env = ReasoningEnv(source, CountingVerifier(), reward_mode="rlvr")
    report = check_env(env, hostile=50)
    assert report.passed
    skipped = [result for result in report.results if result.skipped]
    assert [
        result.name for result in skipped if result.notes == ("the problems drawn have no expert",)
    ] == [
        "the expert gets full marks, step by step (srl)",
        "the expert gets full marks at the end (rlvr)",
        "the expert gets full marks in the other modes",
        "the expert's whole solution is correct",
        "a shuffled answer gets less",
    ]


def test_problems_without_an_expert_among_others_are_counted() -> None:
    alone = Problem("p", "Count to 3, then add up.", "sum=6!")
    source = ListSource((alone, counting_problem(1)))
    env = ReasoningEnv(source, CountingVerifier(), reward_mode="rlvr")
    report = check_env(env, problems=8, hostile=50)
    notes = [note for result in report.results for note in result.notes]
    assert notes.count("1 of 2 problems drawn have an expert") == 5
    assert report.passed, report


def test_an_id_is_made_with_its_arguments() -> None:
    report = check_env("srl/ModularChain-v0", difficulty=2, problems=1, hostile=50)
    assert report.environment == "ModularChainEnv('modular_chain/train/2')"


def test_only_reasoning_environments_can_be_checked() -> None:
    with pytest.raises(BadOption, match="checks ReasoningEnv objects; got "):
        check_env("CartPole-v1")


def test_a_broken_promise_raises_with_what_was_seen_and_what_to_do() -> None:
    with pytest.raises(CheckError, match=r"(?s)FAIL nothing leaks.*seen: .*expected: .*to do: "):
        check_env(with_problem(lambda p: replace(p, id="the sum=6!")), hostile=50)


class Strict(CountingVerifier):
    def extract(self, text: str) -> str | None:
        return None

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        return Verdict(False)


class Lenient(CountingVerifier):
    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        return Verdict(True)


def test_a_verifier_that_refuses_the_expert_is_found() -> None:
    found = failed(CountingEnv(verifier=Strict()))
    assert set(found) == {
        "the expert gets full marks at the end (rlvr)",
        "the expert gets full marks in the other modes",
        "the expert's whole solution is correct",
    }
    assert "did not terminate" in found["the expert gets full marks at the end (rlvr)"]


def test_a_verifier_that_likes_everything_is_found() -> None:
    assert set(failed(CountingEnv(verifier=Lenient()))) == {
        "an empty answer gets nothing",
        "a shuffled answer gets less",
        "an echo of the prompt gains nothing",
    }


def test_an_answer_that_ends_the_episode_too_early_is_found() -> None:
    class Eager(CountingEnv):
        def is_final(self, action: str) -> bool:
            return action == "say 2" or super().is_final(action)

    found = failed(Eager())
    assert "took 2 steps and terminated" in found["the expert gets full marks at the end (rlvr)"]


def test_an_action_that_the_format_does_not_give_back_is_found() -> None:
    class Cutting(ThinkTags):
        def parse(self, text: str) -> ParsedStep:
            parsed = super().parse(text)
            return replace(parsed, action=parsed.action[:4])

    found = failed(CountingEnv(format=Cutting()))
    assert "format.parse(format.render(step))" in found["a prefix equals its replay"]
    assert "step 0" in found["the expert gets full marks, step by step (srl)"]


def test_a_step_checker_that_refuses_the_expert_is_found() -> None:
    class Stern(CountingEnv):
        def legal(self, problem: Problem, actions: Sequence[str], action: str) -> bool:
            return False

    found = failed(Stern())["the expert gets full marks, step by step (srl)"]
    assert "legal() calls the expert's step 0" in found


def leaking(where: str) -> ReasoningEnv:
    class Leaking(CountingEnv):
        def _observe(self, state: Any) -> tuple[str, dict[str, Any]]:
            observation, info = super()._observe(state)
            answer = str(state.problem.answer)
            if where == "observation":
                observation += answer
            if where == "info":
                info["hint"] = {"deep": [answer]}
            if where == "thought" and state.index:
                info["expert"] = state.steps[state.index - 1].thought
            return observation, info

        def __repr__(self) -> str:
            return f"Leaking({self.problem.answer if where == 'repr' and self._state else ''})"

        __str__ = __repr__

    return Leaking()


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("observation", "the answer 'sum="),
        ("info", "the answer 'sum="),
        ("thought", "the expert's thought 0"),
        ("repr", "the answer 'sum="),
    ],
)
def test_leaks_are_found_wherever_they_are(where: str, what: str) -> None:
    found = failed(leaking(where))
    assert set(found) == {"nothing leaks"}
    assert what in found["nothing leaks"]


def test_titles_that_give_the_step_away_are_found() -> None:
    def change(problem: Problem) -> Problem:
        steps = problem.trajectories[0].steps
        telling = tuple(replace(step, title=f"now {step.action}") for step in steps)
        return replace(problem, trajectories=(ExpertTrajectory(telling),))

    assert "nothing leaks" in failed(with_problem(change, show_titles=True))
    assert "nothing leaks" not in failed(with_problem(change))


def test_a_prompt_with_the_solution_in_it_is_found() -> None:
    def change(problem: Problem) -> Problem:
        return replace(problem, prompt=" ".join(problem.trajectories[0].actions))

    assert "contains every step" in failed(with_problem(change))["nothing leaks"]


def test_short_answers_and_what_the_problem_says_are_no_leaks() -> None:
    def change(problem: Problem) -> Problem:
        steps = problem.trajectories[0].steps
        short = (*steps[:-1], replace(steps[-1], action="the 3"))
        return replace(problem, answer="3", trajectories=(ExpertTrajectory(short),))

    assert failed(with_problem(change)) == {}


def test_a_world_that_is_not_the_same_twice_is_found() -> None:
    class Moody(SlowWorldEnv):
        moods = 0

        def world_step(self, action: str) -> str:
            self.moods += 1
            return f"{super().world_step(action)}, mood {self.moods}"

    report = check_env(Moody(), raise_on_failure=False, hostile=50)
    assert [result.name for result in report.results if not result.passed] == [
        "a seed repeats the episode"
    ]
    skipped = [result for result in report.results if result.skipped]
    assert "snapshots go back" in {result.name for result in skipped}
    assert {note for result in skipped for note in result.notes} == {
        "not made: means nothing before 'a seed repeats the episode' passes",
        "the class takes no split",
    }


def test_determinism_is_checked_before_everything_that_depends_on_it() -> None:
    assert list(CHECKS)[:2] == ["problems are drawn", "a seed repeats the episode"]


def test_an_exception_in_every_check_is_one_finding() -> None:
    class Raising(CountingEnv):
        def legal(self, problem: Problem, actions: Sequence[str], action: str) -> bool:
            raise KeyError(action)

    report = check_env(Raising(), raise_on_failure=False, hostile=0)
    same = [
        result.name
        for result in report.results
        if "not made: the same exception as in 'a seed repeats the episode'" in result.notes
    ]
    assert {"snapshots go back", "infos can be stored"} <= set(same)
    assert str(report).count("seen: KeyError") == 1


def test_an_observation_that_depends_on_the_mode_is_found() -> None:
    class Telling(CountingEnv):
        def _observe(self, state: Any) -> tuple[str, dict[str, Any]]:
            observation, info = super()._observe(state)
            return f"{observation} [{state.mode.name}]", info

    assert set(failed(Telling())) == {"modes leave the world alone"}


def test_global_random_numbers_are_found() -> None:
    class Global(CountingEnv):
        def world_reset(self, problem: Problem) -> None:
            random.random()

    assert "global state" in failed(Global())["global generators are left alone"]


def test_a_snapshot_that_shares_the_world_is_found() -> None:
    class Sharing(SlowWorldEnv):
        def world_state(self) -> Any:
            return self.world

        def world_restore(self, state: Any) -> None:
            self.world = state

    assert set(failed(Sharing())) == {"snapshots go back"}


@dataclass(frozen=True)
class Detailed(CountingVerifier):
    """Gives details with every verdict."""

    details: Any = None

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        return replace(CountingVerifier().verify(problem, actions), details=self.details)


@pytest.mark.parametrize(
    ("details", "seen"),
    [
        ({"x": {1, 2}}, "TypeError"),
        ({"x": float("nan")}, "ValueError"),
        ({"x": (1, 2)}, "comes back changed"),
        ({"x": {1: 2}}, "comes back changed"),
    ],
)
def test_details_that_cannot_be_stored_are_found(details: dict[str, Any], seen: str) -> None:
    found = failed(CountingEnv(verifier=Detailed(details)))
    assert seen in found["infos can be stored"]


def test_a_long_repr_is_found() -> None:
    class Long(CountingEnv):
        def __repr__(self) -> str:
            return "x" * 300

    assert "300 characters" in failed(Long())["repr is short"]


def test_what_gymnasium_complains_of_is_reported_and_the_rest_is_left() -> None:
    class Wordless(CountingEnv):
        def reset(self, **arguments: Any) -> Any:
            super().reset(**arguments)
            return 3, {}

    report = check_env(Wordless(), raise_on_failure=False, hostile=50)
    assert not report.results[2].passed
    assert "not within the observation space" in str(report)

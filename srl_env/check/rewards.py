"""Full marks for the expert in every mode, and none for empty, shuffled or echoed answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

from srl_env.check.report import Finding, Note
from srl_env.check.trial import Trial, short
from srl_env.episode.state import StepResult
from srl_env.problem import ExpertStep, Problem
from srl_env.rewards.registry import RewardMode, get_reward_mode
from srl_env.verifiers.answers import read_answer

AS_GOOD_AS_THE_EXPERT = 0.9
_SEARCHED = 50  # problems of the source that are searched for one with another answer
_NOT_CORRECT = "a verdict that is not correct"


def check_expert_srl(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Each of the expert's own steps is worth 1 and is legal."""
    trial.begin(problem_id, "srl", "expert")
    for index, (_, reward, _, _, info) in enumerate(trial.expert_episode()):
        step, read = f"step {index} of problem {problem_id!r}", short(info["action"])
        if reward != 1.0:
            yield trial.finding(
                f"reward {reward} for the expert's own {step}, format_ok {info['format_ok']}, "
                f"read as {read}",
                "1.0",
                "make format.parse(format.render(step)).action equal to the expert's action, e.g. "
                "by stripping it where the data is read, and the similarity of equal texts 1",
                problem_id=problem_id,
            )
        if info["legal"] is False:
            seen = f"legal() calls the expert's {step} wrong: {read}"
            expected = "True, or None without a step checker"
            yield trial.finding(seen, expected, "fix legal() or the expert", "legal")


def check_expert_rlvr(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """The expert's steps end in a correct answer, and not before the last."""
    trial.begin(problem_id, "rlvr", "policy")
    results, steps = list(trial.expert_episode()), len(trial.env.expert_steps)
    if len(results) != steps or not results[-1][2]:
        yield trial.finding(
            f"the expert's episode of problem {problem_id!r} took {len(results)} steps and "
            f"{'terminated' if results[-1][2] else 'did not terminate'}",
            f"terminated after its {steps} steps",
            "make is_final(), by default verifier.extract(), find a final answer in the expert's "
            "last action and in none before it",
            "is_final",
            "extract",
            problem_id=problem_id,
        )
    if (total := math.fsum(result[1] for result in results)) != 1.0:
        seen = f"return {total} for the expert in mode rlvr"
        yield trial.finding(seen, "1.0", "fix the verifier", "verify")
    yield from _correct(trial, results[-1], problem_id)


def check_expert_other(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """In the other modes that compare with the expert, every part of its reward is 1."""
    for mode in ("hybrid", "holistic", "format"):
        trial.begin(problem_id, mode, None)
        for index, (*_, info) in enumerate(trial.expert_episode()):
            parts = {k: v for k, v in info["reward_parts"].items() if v != 1.0}
            if parts:
                yield trial.finding(
                    f"reward parts {parts} for the expert's step {index} of problem "
                    f"{problem_id!r} in mode {mode}",
                    "1.0 for each part",
                    "make the format read the expert's own steps unchanged, and its answer correct",
                    problem_id=problem_id,
                )


def check_expert_solution(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """The expert's whole solution, as one action, is correct."""
    if "solution" in trial.env.granularities:
        trial.begin(problem_id, "rlvr", "policy", granularity="solution")
        yield from _correct(trial, trial.env.step(trial.env.expert_completion()), problem_id)


def _correct(trial: Trial, result: StepResult, problem_id: str) -> Iterator[Finding]:
    verdict, failure = result[4].get("verdict"), result[4].get("failure")
    if verdict is None or verdict["correct"] is not True:
        yield trial.finding(
            f"verdict {verdict} at the end of the expert's solution of problem {problem_id!r}"
            + (f", failure {failure}" if failure else ""),
            "a verdict that is correct",
            "make verifier.verify() accept the expert's last action, or fix the problem's answer",
            "verify",
            problem_id=problem_id,
        )


def _judged_correct(result: StepResult) -> bool | None:
    """What the verdict at the episode's end says; None without a verdict."""
    correct: bool | None = (result[4].get("verdict") or {}).get("correct")
    return correct


def check_empty(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """An empty answer is worth nothing, as a step or as a whole solution."""
    env = trial.env
    for granularity in env.granularities:
        for completion in ("", env.format.render(ExpertStep(""))):
            trial.begin(problem_id, "rlvr", "policy", granularity=granularity, max_steps=1)
            result = env.step(completion)
            if result[1] != 0.0 or _judged_correct(result) is not False:
                yield trial.finding(
                    f"reward {result[1]} and verdict {result[4].get('verdict')} for "
                    f"{completion!r} on problem {problem_id!r}, granularity {granularity}",
                    f"reward 0.0 and {_NOT_CORRECT}",
                    "make the verifier refuse an empty answer",
                    "verify",
                )
    if trial.begin(problem_id, "srl", "expert") and (reward := env.step("")[1]) != -1.0:
        yield trial.finding(
            f"reward {reward} for an empty completion in mode srl",
            "-1.0, as for every completion that breaks the format",
            "make format.parse('') not ok",
        )


def check_shuffled(trial: Trial, problem_id: str) -> Iterator[Finding | Note]:
    """Another step of the expert is not a full match; another problem's solution is not correct."""
    trial.begin(problem_id, "srl", "expert")
    steps = trial.env.expert_steps
    if trial.env.measure == "accepts":  # another step may be as good
        steps = ()
    for index, step in enumerate(steps):
        other = steps[(index + 1) % len(steps)]
        if step.action.strip() == other.action.strip():
            trial.env.step(trial.env.expert_completion())
        elif (reward := trial.env.step(trial.env.format.render(other))[1]) >= 1.0:
            yield trial.finding(
                f"reward {reward} for {short(other.action)}; the expert of problem "
                f"{problem_id!r} says {short(step.action)}",
                "less than 1.0 for another step",
                "let the similarity be 1 for equal actions only",
                "similarity",
            )
    if "solution" in trial.env.granularities:
        yield from _other_solution(trial, problem_id)


def _other_solution(trial: Trial, problem_id: str) -> Iterator[Finding | Note]:
    other = _with_another_answer(trial, trial.problem(problem_id))
    if other is None:
        yield Note("answers not swapped: no two problems with different ones")
        return
    trial.begin(problem_id, "rlvr", "policy", granularity="solution", max_steps=1)
    actions = trial.env.style.join.join(other.trajectories[0].actions)
    result = trial.env.step(trial.env.format.render(ExpertStep(actions)))
    if _judged_correct(result):
        yield trial.finding(
            f"reward {result[1]} and a verdict that is correct on problem {problem_id!r} for the "
            f"solution of {other.id!r}, whose answer is {short(other.answer or '')}",
            _NOT_CORRECT,
            "make the verifier compare with the problem's answer",
            "verify",
        )


def _with_another_answer(trial: Trial, problem: Problem) -> Problem | None:
    source, answer = trial.env.problems, (problem.answer or "").strip()
    for index in range(min(len(source), _SEARCHED)):
        other = source[index]
        stated = (other.answer or "").strip()
        if answer and stated and other.trajectories and not read_answer(answer).equals(stated):
            return other
    return None


def check_echo(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Repeating the problem, the prompt or the step before gains nothing."""
    env = trial.env
    steps = max((len(way.steps) for way in trial.problem(problem_id).trajectories), default=0)
    # In a world, the steps before the last may have done all the work.
    starts = (0,) if env.has_world else sorted({0, max(0, steps - 1)})
    for granularity, start in product(env.granularities, starts):
        options = {"granularity": granularity, "start_step": start, "max_steps": 1}
        for what in ("problem", "prompt", "last step"):
            begun = trial.begin(problem_id, "rlvr", "policy", **options)
            assert begun is not None, "rlvr under continuation policy needs no expert"
            echo = env.format.render(ExpertStep(_echo(trial, what, begun[0])))
            if _judged_correct(env.step(echo)):
                yield trial.finding(
                    f"the verdict is correct on problem {problem_id!r}, start_step {start}, "
                    f"for repeating the {what}",
                    _NOT_CORRECT,
                    "let the verifier accept an answer only where it is marked as one, and keep "
                    "the answer out of the prompt",
                    "verify",
                )
    for what in ("problem", "prompt"):
        begun = trial.begin(problem_id, "srl", "expert")
        if begun is None:
            return
        observation, rewards, over = begun[0], list[float](), False
        while not over:
            echo = env.format.render(ExpertStep(_echo(trial, what, observation)))
            observation, reward, terminated, truncated, _ = env.step(echo)
            rewards.append(reward)
            over = terminated or truncated
        if (mean := math.fsum(rewards) / len(rewards)) >= AS_GOOD_AS_THE_EXPERT:
            yield trial.finding(
                f"repeating the {what} of problem {problem_id!r} earns {mean:.2f} a step in mode "
                "srl",
                f"less than {AS_GOOD_AS_THE_EXPERT}",
                "do not show the expert's next step, and let the similarity look at the action",
                "similarity",
            )


def _echo(trial: Trial, what: str, observation: str) -> str:
    history = trial.env.history
    if what == "problem" or (what == "last step" and not history):
        return trial.env.problem.prompt
    return observation if what == "prompt" else history[-1].action


def check_ranges(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Every mode that states a range of rewards stays in it."""
    for mode in map(get_reward_mode, trial.modes()):
        if trial.begin(problem_id, mode.name, "policy"):
            for result in trial.probe_episode():
                yield from out_of_range(mode, result[1], f"a step of problem {problem_id!r}")


def out_of_range(mode: RewardMode, reward: float, what: str) -> Iterator[Finding]:
    """A finding for a reward outside the range that its mode states; NaN marks a failure."""
    low, high = getattr(mode, "reward_range", None) or (-math.inf, math.inf)
    if reward < low - 1e-9 or reward > high + 1e-9:  # false for nan
        yield Finding(
            f"reward {reward} in mode {mode.name} for {what}",
            f"a reward from {low:g} to {high:g}, as the mode states",
            "let the similarity give a number from 0 to 1, or state another reward_range",
        )

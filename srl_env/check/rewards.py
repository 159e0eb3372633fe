"""Full marks for the expert in every mode, and none for who says nothing, guesses or echoes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from srl_env.check.report import Finding, Note
from srl_env.check.trial import Trial, short
from srl_env.episode.state import StepResult
from srl_env.problem import ExpertStep, Problem
from srl_env.rewards.registry import RewardMode, get_reward_mode
from srl_env.verifiers.answers import read_answer

AS_GOOD_AS_THE_EXPERT = 0.9
_LOOKED_AT = 50  # problems of the source that are searched for one with another answer


def check_expert_srl(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Each of the expert's own steps is worth 1 and is legal."""
    trial.begin(problem_id, "srl", "expert")
    for index, (_, reward, _, _, info) in enumerate(trial.expert_episode()):
        step = f"step {index} of problem {problem_id!r}"
        if reward != 1.0:
            yield Finding(
                f"reward {reward} for the expert's own {step}, format_ok {info['format_ok']}, "
                f"read as {short(info['action'])}",
                "1.0",
                "make format.parse(format.render(step)).action equal to the expert's action, e.g. "
                "by stripping it where the data is read, and the similarity of equal texts 1",
                trial.place_of(problem_id),
            )
        if info["legal"] is False:
            yield Finding(
                f"legal() calls the expert's {step} wrong: {short(info['action'])}",
                "True, or None where there is no step checker",
                "mend legal() or the expert",
                trial.line_of("legal"),
            )


def check_expert_rlvr(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """The expert's steps end in a right answer, and not before the last."""
    trial.begin(problem_id, "rlvr", "policy")
    results, steps = list(trial.expert_episode()), len(trial.env.expert_steps)
    if len(results) != steps or not results[-1][2]:
        yield Finding(
            f"the expert's episode of problem {problem_id!r} took {len(results)} steps and "
            f"{'terminated' if results[-1][2] else 'did not terminate'}",
            f"terminated after its {steps} steps",
            "make is_final(), by default verifier.extract(), find a final answer in the expert's "
            "last action and in none before it",
            trial.line_of("is_final") or trial.line_of("extract") or trial.place_of(problem_id),
        )
    if (total := math.fsum(result[1] for result in results)) != 1.0:
        yield Finding(
            f"return {total} for the expert in mode rlvr",
            "1.0",
            "mend the verifier",
            trial.line_of("verify"),
        )
    yield from _right(trial, results[-1], problem_id)


def check_expert_other(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """In the other modes that compare with the expert, every part of its reward is 1."""
    for mode in ("hybrid", "holistic", "format"):
        trial.begin(problem_id, mode, None)
        for index, (_, _, _, _, info) in enumerate(trial.expert_episode()):
            parts = {k: v for k, v in info["reward_parts"].items() if v != 1.0}
            if parts:
                yield Finding(
                    f"reward parts {parts} for the expert's step {index} of problem "
                    f"{problem_id!r} in mode {mode}",
                    "1.0 for each part",
                    "make the expert's own steps read back as they are, and its answer right",
                    trial.place_of(problem_id),
                )


def check_expert_solution(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """The expert's whole solution, as one action, is right."""
    if "solution" not in trial.env.granularities:
        return
    trial.begin(problem_id, "rlvr", "policy", granularity="solution")
    yield from _right(trial, trial.env.step(trial.env.expert_completion()), problem_id)


def check_empty(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Saying nothing is worth nothing, in steps or as a whole."""
    env = trial.env
    for granularity in env.granularities:
        for completion in ("", env.format.render(ExpertStep(""))):
            trial.begin(problem_id, "rlvr", "policy", granularity=granularity, max_steps=1)
            _, reward, _, _, info = env.step(completion)
            if reward != 0.0 or (info.get("verdict") or {}).get("correct") is not False:
                yield Finding(
                    f"reward {reward} and verdict {info.get('verdict')} for {completion!r} on "
                    f"problem {problem_id!r}, granularity {granularity}",
                    "reward 0.0 and a verdict that is not correct",
                    "make the verifier refuse an empty answer",
                    trial.line_of("verify"),
                )
    if trial.begin(problem_id, "srl", "expert") and (reward := env.step("")[1]) != -1.0:
        yield Finding(
            f"reward {reward} for an empty completion in mode srl",
            "-1.0, as for every completion that breaks the format",
            "make format.parse('') not ok",
        )


def check_shuffled(trial: Trial, problem_id: str) -> Iterator[Finding | Note]:
    """Another step of the expert is no full match, and another problem's solution is not right."""
    trial.begin(problem_id, "srl", "expert")
    steps = trial.env.expert_steps
    for index, step in enumerate(steps):
        other = steps[(index + 1) % len(steps)]
        if step.action.strip() == other.action.strip():
            trial.env.step(trial.env.expert_completion())
            continue
        reward = trial.env.step(trial.env.format.render(other))[1]
        if reward >= 1.0:
            yield Finding(
                f"reward {reward} for {short(other.action)} where the expert of problem "
                f"{problem_id!r} says {short(step.action)}",
                "less than 1.0 for another step",
                "let the similarity be 1 for equal actions only",
                trial.line_of("similarity"),
            )
    yield from _other_solution(trial, problem_id)


def _other_solution(trial: Trial, problem_id: str) -> Iterator[Finding | Note]:
    if "solution" not in trial.env.granularities:
        return
    other = _with_another_answer(trial, trial.problem(problem_id))
    if other is None:
        yield Note("answers not swapped: no two problems with different ones")
        return
    trial.begin(problem_id, "rlvr", "policy", granularity="solution", max_steps=1)
    actions = trial.env.style.join.join(other.trajectories[0].actions)
    _, reward, _, _, info = trial.env.step(trial.env.format.render(ExpertStep(actions)))
    if (info.get("verdict") or {}).get("correct") is True:
        yield Finding(
            f"reward {reward} and a verdict that is correct on problem {problem_id!r} for the "
            f"solution of {other.id!r}, whose answer is {short(other.answer or '')}",
            "a verdict that is not correct",
            "make the verifier compare with the problem's answer",
            trial.line_of("verify"),
        )


def _with_another_answer(trial: Trial, problem: Problem) -> Problem | None:
    """A problem with an expert whose answer does not mean the same."""
    source, answer = trial.env.problems, (problem.answer or "").strip()
    for index in range(min(len(source), _LOOKED_AT)):
        other = source[index]
        said = (other.answer or "").strip()
        if answer and said and not read_answer(answer).equals(said) and other.trajectories:
            return other
    return None


def check_echo(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Who repeats what is shown gains nothing: the problem, the prompt, the step before."""
    env = trial.env
    steps = max((len(way.steps) for way in trial.problem(problem_id).trajectories), default=0)
    for granularity in env.granularities:
        # In a world the steps before the last may have done all the work.
        for start in (0,) if env.has_world else sorted({0, max(0, steps - 1)}):
            options = {"granularity": granularity, "start_step": start, "max_steps": 1}
            for what in ("problem", "prompt", "last step"):
                begun = trial.begin(problem_id, "rlvr", "policy", **options)
                assert begun is not None, "rlvr under one's own steps needs no expert"
                info = env.step(env.format.render(ExpertStep(_echo(trial, what, begun[0]))))[4]
                if (info.get("verdict") or {}).get("correct") is True:
                    yield Finding(
                        f"the verdict is correct on problem {problem_id!r}, start_step {start}, "
                        f"for repeating the {what}",
                        "a verdict that is not correct",
                        "let the verifier accept an answer only where it is marked as one, and "
                        "keep the answer out of the prompt",
                        trial.line_of("verify"),
                    )
    yield from _echo_srl(trial, problem_id)


def _echo_srl(trial: Trial, problem_id: str) -> Iterator[Finding]:
    for what in ("problem", "prompt"):
        begun = trial.begin(problem_id, "srl", "expert")
        if begun is None:
            return
        observation, rewards, over = begun[0], [], False
        while not over:
            said = trial.env.format.render(ExpertStep(_echo(trial, what, observation)))
            observation, reward, terminated, truncated, _ = trial.env.step(said)
            rewards.append(reward)
            over = terminated or truncated
        if (mean := math.fsum(rewards) / len(rewards)) >= AS_GOOD_AS_THE_EXPERT:
            yield Finding(
                f"repeating the {what} of problem {problem_id!r} is paid {mean:.2f} a step in "
                "mode srl",
                f"less than {AS_GOOD_AS_THE_EXPERT}",
                "do not show the expert's next step, and let the similarity look at the action",
                trial.line_of("similarity"),
            )


def _echo(trial: Trial, what: str, observation: str) -> str:
    history = trial.env.history
    if what == "problem" or (what == "last step" and not history):
        return trial.env.problem.prompt
    return observation if what == "prompt" else history[-1].action


def check_ranges(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Every mode that states a range of rewards keeps to it."""
    for mode in map(get_reward_mode, trial.modes()):
        if not trial.begin(problem_id, mode.name, "policy"):
            continue
        for result in trial.probe_episode():
            yield from out_of_range(mode, result[1], f"a step of problem {problem_id!r}")


def out_of_range(mode: RewardMode, reward: float, what: str) -> Iterator[Finding]:
    """A finding where a reward is outside of what its mode states; NaN is a failure's."""
    stated = getattr(mode, "reward_range", None)
    if stated is None or math.isnan(reward):
        return
    low, high = stated
    if not low - 1e-9 <= reward <= high + 1e-9:
        yield Finding(
            f"reward {reward} in mode {mode.name} for {what}",
            f"a reward from {low:g} to {high:g}, as the mode states",
            "let the similarity give a number from 0 to 1, or state another reward_range",
        )


def _right(trial: Trial, result: StepResult, problem_id: str) -> Iterator[Finding]:
    verdict = result[4].get("verdict")
    if verdict is None or verdict["correct"] is not True:
        yield Finding(
            f"verdict {verdict} at the end of the expert's solution of problem {problem_id!r}"
            + (f", failure {result[4]['failure']}" if "failure" in result[4] else ""),
            "a verdict that is correct",
            "make verifier.verify() accept the expert's last action, or mend the problem's answer",
            trial.line_of("verify") or trial.place_of(problem_id),
        )

"""Whether anything is visible before it is scored.

A *leak* is text in the observation, messages, info, ``repr`` or pickled observation that holds,
between word boundaries, the answer, an expert's action that was not scored yet, or an expert's
thought. Text that the problem's prompt, the prompt style, the actions so far or the world's answers
also contain is not a leak.

Outside the observation, secrets of fewer than four characters are ignored: numbers like "3" occur
in ids and counters by chance. But one place of the info that holds the answer of problem after
problem, such as a key "answer", is a leak.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from typing import Any

from srl_env.check.report import Finding
from srl_env.check.trial import Trial, short
from srl_env.environment import ReasoningEnv
from srl_env.problem import ExpertStep

SHORT_SECRET = 4


def check_leaks(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Nothing of the expert or the answer is visible before it is scored."""
    if not trial.begin(problem_id, "srl", "expert"):
        return
    env = trial.env
    prompt = env.problem.prompt
    if len(env.expert_steps) > 1 and all(step.action in prompt for step in env.expert_steps):
        yield trial.finding(
            f"the prompt of problem {problem_id!r} contains every step of the expert",
            "a prompt without the solution",
            "remove the solution where the data is read",
            problem_id=problem_id,
        )
    for continuation in ("expert", "policy"):
        result: Any = trial.begin(problem_id, "srl", continuation)
        over = False
        while not over:
            yield from _leaks(trial, result[0], result[-1])
            result = env.step(env.format.render(ExpertStep("hm")))
            over = result[2] or result[3]


def check_answers(trial: Trial) -> Iterator[Finding]:
    """No place in the first info is the answer of every problem, however short answers are."""
    answers, places = set(), []
    for problem_id in trial.problems:
        begun = trial.begin(problem_id, "rlvr", "policy")
        if begun and (answer := (trial.env.problem.answer or "").strip()):
            answers.add(answer)
            places.append({place for place, part in _leaves(begun[1]) if str(part) == answer})
    if len(answers) < 2:
        return  # one answer may occur anywhere by chance
    for place in sorted(set.intersection(*places)):
        yield trial.finding(
            f"info{place} is the answer of each of {len(places)} problems at step 0",
            "nothing of the answer before the end",
            "take it out of the info; at the end, the verdict has it",
            "reset",
        )


def _leaves(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """The innermost values of nested data with their places, such as "['a'][0]"."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{place}[{key!r}]")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _leaves(part, f"{place}[{number}]")
    else:
        yield place, value


def _leaks(trial: Trial, observation: str, info: dict[str, Any]) -> Iterator[Finding]:
    env = trial.env
    shown = [observation, *(message["content"] for message in info["messages"])]
    rest = {key: value for key, value in info.items() if key != "messages"}
    other = [repr(env), str(env)]
    for place, part in _leaves(rest):  # a place has the keys
        other += [place, part] if isinstance(part, str) else [place]
    other.append(pickle.dumps(observation).decode("utf-8", "replace"))
    public = "\n".join(_public(env))
    for kind, secret in _secrets(env):
        pattern = re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)")
        if pattern.search(public):
            continue
        places = shown if len(secret) < SHORT_SECRET else shown + other
        if found := next(filter(None, map(pattern.search, places)), None):
            around = found.string[max(0, found.start() - 30) : found.end() + 30]
            yield trial.finding(
                f"{kind} {short(secret)} of problem {env.problem.id!r} is visible at step "
                f"{env.step_index}: {short(around)}",
                "nothing of the expert before it is scored, and no thoughts",
                "take it out of the prompt, the titles, the id or the info",
                problem_id=env.problem.id,
            )


def _secrets(env: ReasoningEnv) -> Iterator[tuple[str, str]]:
    """What must not be seen at this point: (what it is, text)."""
    if env.problem.answer:
        yield "the answer", env.problem.answer.strip()
    for number, step in enumerate(env.expert_steps):
        if number >= env.step_index:
            yield f"the expert's action {number}", step.action.strip()
        if step.thought and len(step.thought) >= SHORT_SECRET:
            yield f"the expert's thought {number}", step.thought.strip()


def _public(env: ReasoningEnv) -> Iterator[str]:
    """What may be seen: the problem, the style's texts, the actions and the world's answers."""
    style = env.style
    yield from (env.problem.prompt, style.step_task, style.solution_task, style.note)
    yield from (style.problem, style.so_far, style.title, env.format.instructions)
    for turn in env.history:
        yield turn.action
        yield turn.observation or ""

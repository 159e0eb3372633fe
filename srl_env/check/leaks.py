"""Whether anything is visible that was not scored yet.

A *leak* is text in observation, messages, info, ``repr`` or the pickled observation that holds
the answer, an expert's action that was not scored yet, or any of the expert's thoughts, between
word boundaries. Not counted: what the problem's prompt, the prompt style, the actions so far or
the world's answers say too. Outside the observation, secrets of fewer than four characters
aren't looked for either: numbers like "3" stand in ids and counters by chance. What is the
answer of problem after problem at one place of the info, as under a key "answer", is no chance.
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
    """Nothing of the expert or the answer is visible before it was scored."""
    if not trial.begin(problem_id, "srl", "expert"):
        return
    env = trial.env
    prompt = env.problem.prompt
    if len(env.expert_steps) > 1 and all(step.action in prompt for step in env.expert_steps):
        yield Finding(
            f"the prompt of problem {problem_id!r} contains every step of the expert",
            "a prompt without the solution",
            "leave the solution out where the data is read",
            trial.place_of(problem_id),
        )
    for continuation in ("expert", "policy"):
        result: Any = trial.begin(problem_id, "srl", continuation)
        while True:
            yield from _leaks(trial, result[0], result[-1])
            result = env.step(env.format.render(ExpertStep("hm")))
            if result[2] or result[3]:
                break


def check_answers(trial: Trial) -> Iterator[Finding]:
    """No place in the first info is the answer of every problem, however short answers are."""
    answers, places = set(), []
    for problem_id in trial.problems:
        begun = trial.begin(problem_id, "rlvr", "policy")
        if begun and (answer := (trial.env.problem.answer or "").strip()):
            answers.add(answer)
            places.append({place for place, part in _leaves(begun[1]) if str(part) == answer})
    if len(answers) < 2:
        return  # one answer may stand anywhere by chance
    for place in sorted(set.intersection(*places)):
        yield Finding(
            f"info{place} is the answer of each of {len(places)} problems at step 0",
            "nothing of the answer before the end",
            "take it out of the info; at the end, the verdict has it",
            trial.line_of("reset"),
        )


def _leaves(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Everything in nested data that holds nothing itself, with its place, as "['a'][0]"."""
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
    other = [repr(env), str(env), *_texts({k: v for k, v in info.items() if k != "messages"})]
    other.append(pickle.dumps(observation).decode("utf-8", "replace"))
    public = "\n".join(_public(env))
    for kind, secret in _secrets(env):
        pattern = re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)")
        if pattern.search(public):
            continue
        places = shown if len(secret) < SHORT_SECRET else shown + other
        for place in places:
            if pattern.search(place):
                yield Finding(
                    f"{kind} {short(secret)} of problem {env.problem.id!r} is visible at step "
                    f"{env.step_index}: {short(_around(pattern, place))}",
                    "nothing of the expert that was not scored yet, and no thoughts",
                    "take it out of the prompt, the titles, the id or the info",
                    trial.place_of(env.problem.id),
                )
                break


def _secrets(env: ReasoningEnv) -> Iterator[tuple[str, str]]:
    """What must not be seen at this point, with what it is."""
    if env.problem.answer:
        yield "the answer", env.problem.answer.strip()
    for number, step in enumerate(env.expert_steps):
        if number >= env.step_index:
            yield f"the expert's action {number}", step.action.strip()
        if step.thought and len(step.thought) >= SHORT_SECRET:
            yield f"the expert's thought {number}", step.thought.strip()


def _public(env: ReasoningEnv) -> Iterator[str]:
    """What may be seen: the problem, the style's texts, what was done and answered."""
    style = env.style
    yield from (env.problem.prompt, style.step_task, style.solution_task, style.note)
    yield from (style.problem, style.so_far, style.title, env.format.instructions)
    for turn in env.history:
        yield turn.action
        yield turn.observation or ""


def _texts(value: object) -> Iterator[str]:
    """All texts in nested data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(key)
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _around(pattern: re.Pattern[str], text: str) -> str:
    """Where the pattern is in the text, with some of its surroundings."""
    match = pattern.search(text)
    assert match is not None, "the caller found it"
    return text[max(0, match.start() - 30) : match.end() + 30]

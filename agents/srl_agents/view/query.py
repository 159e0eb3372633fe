"""Which steps are wanted: the terminal's filters, in words.

find_steps(read_query(["step=2-5", "reward=..0.5", "group=dropped", "text=carry"]), runs, index)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from srl_agents.view.index import EpisodeEntry, Index, StepEntry, read_row
from srl_agents.view.sources import ViewedRun
from srl_env.errors import BadOption, UnknownName

FILTERS = {
    "run": "part of the run's name",
    "problem": "part of the problem's id",
    "step": "2, or 2-5",
    "reward": "0.5, or 0..0.5, or ..0.5",
    "verdict": "right, wrong or none",
    "failure": "any, none, or a type as VerifierTimeout",
    "group": "trained, dropped, zero_std or unused",
    "form": "broken, legal or illegal",
    "part": "the stage, or sampled, greedy, forced, forced_sampled",
    "text": "what any of the texts holds",
}
"""The filters, and what each takes."""

_CHOICES = {
    "verdict": ("right", "wrong", "none"),
    "group": ("trained", "dropped", "zero_std", "unused"),
    "form": ("broken", "legal", "illegal"),
}


@dataclass(frozen=True, slots=True)
class Query:
    """Filters by name, as given; steps must pass them all. Bounds include their ends."""

    words: dict[str, str]
    steps: tuple[float, float] = (-math.inf, math.inf)
    reward: tuple[float, float] | None = None


def read_query(filters: Iterable[str]) -> Query:
    """The filters NAME=VALUE as a query; UnknownName or BadOption for what is none."""
    words: dict[str, str] = {}
    for given in filters:
        name, equals, value = given.partition("=")
        if name not in FILTERS:
            raise UnknownName("filter", name, FILTERS)
        if not equals or not value:
            raise BadOption(f"a filter is NAME=VALUE; {name} takes {FILTERS[name]}; got {given!r}")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise BadOption(f"{name} takes {FILTERS[name]}; got {value!r}")
        words[name] = value.lower() if name in ("run", "problem", "text") else value
    return Query(
        words,
        _bounds("step", words["step"], "-") if "step" in words else (-math.inf, math.inf),
        _bounds("reward", words["reward"], "..") if "reward" in words else None,
    )


def find_steps(query: Query, runs: Sequence[ViewedRun], index: Index) -> list[int]:
    """The numbers of the steps that fit, in order."""
    return [
        number
        for episode in index.episodes
        if _episode_fits(query, runs, episode)
        for number in _steps_that_fit(query, index, episode)
    ]


def _bounds(name: str, text: str, between: str) -> tuple[float, float]:
    number = r"-?\d+(?:\.\d+)?"
    one = re.fullmatch(number, text)
    found = re.fullmatch(rf"({number})?{re.escape(between)}({number})?", text)
    if one:
        return float(text), float(text)
    if not found or text == between:
        raise BadOption(f"{name} takes {FILTERS[name]}; got {text!r}")
    low, high = found.groups()
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)


def _episode_fits(query: Query, runs: Sequence[ViewedRun], episode: EpisodeEntry) -> bool:
    words = query.words
    verdict = {None: "none", True: "right", False: "wrong"}[episode.correct]
    failure = words.get("failure")
    return (
        words.get("run", "") in runs[episode.run].name.lower()
        and words.get("problem", "") in episode.problem.lower()
        and words.get("verdict", verdict) == verdict
        and words.get("part", episode.part) == episode.part
        and (
            failure is None
            or (failure == "any" and bool(episode.failure))
            or (failure == "none" and not episode.failure)
            or failure == episode.failure
        )
    )


def _steps_that_fit(query: Query, index: Index, episode: EpisodeEntry) -> Iterator[int]:
    numbers = [
        episode.first + i
        for i, step in enumerate(index.steps_of(episode))
        if _step_fits(query, step)
    ]
    wanted = query.words.get("text")
    if wanted is None or not numbers or wanted in episode.problem.lower():
        yield from numbers
        return
    row = read_row(episode)
    for number in numbers:
        if wanted in _all_texts(row, number - episode.first).lower():
            yield number


def _step_fits(query: Query, step: StepEntry) -> bool:
    low, high = query.steps
    if not low <= step.index <= high:
        return False
    if query.reward is not None and (
        step.reward is None or not query.reward[0] <= step.reward <= query.reward[1]
    ):
        return False
    group, form = query.words.get("group"), query.words.get("form")
    if group == "dropped":
        group_fits = step.outcome in ("zero_std", "unused")
    else:
        group_fits = group is None or step.outcome == group
    forms = {"broken": not step.format_ok, "legal": step.legal is True}
    forms["illegal"] = step.legal is False
    return group_fits and (form is None or forms[form])


def _all_texts(row: dict[str, Any], place: int) -> str:
    """Everything that was said at a step: action, completion, expert, prompt, failure, verdict."""
    step = row["steps"][place]
    texts = [step["action"], step["generation"]["text"], step.get("expert_action") or ""]
    texts += [message["content"] for message in step["messages"]]
    texts += [str(failure["message"]) for failure in (step["failure"], row["failure"]) if failure]
    if place == len(row["steps"]) - 1 and row["verdict"]:
        texts.append(str(row["verdict"].get("answer")))
    return "\n".join(texts)

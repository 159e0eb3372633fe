"""The terminal's filters: which steps are shown.

find_steps(read_query(["step=2-5", "reward=..0.5", "group=dropped", "text=carry"]), runs, index)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    "failure": "any, none, or a type such as VerifierTimeout",
    "group": "trained, dropped, zero_std or unused",
    "form": "broken, legal or illegal",
    "part": "the stage, or sampled, greedy, forced, forced_sampled",
    "text": "part of any text",
}
"""The filters, and the value that each takes."""

_CHOICES: dict[str, dict[str, Any]] = {
    "verdict": {"right": True, "wrong": False, "none": None},
    "group": {
        "trained": ("trained",),
        "dropped": ("zero_std", "unused"),
        "zero_std": ("zero_std",),
        "unused": ("unused",),
    },
    "form": {
        "broken": lambda step: not step.format_ok,
        "legal": lambda step: step.legal is True,
        "illegal": lambda step: step.legal is False,
    },
}
Query = Mapping[str, Any]
"""Filters by name with their values; steps must pass all of them. Bounds include their ends."""


def read_query(filters: Iterable[str]) -> Query:
    """The filters NAME=VALUE as a query; UnknownName or BadOption for others."""
    query: dict[str, Any] = {}
    for given in filters:
        name, _, value = given.partition("=")
        if name not in FILTERS:
            raise UnknownName("filter", name, FILTERS)
        if not value or (name in _CHOICES and value not in _CHOICES[name]):
            raise BadOption(f"{name} takes {FILTERS[name]}; got {given!r}")
        if name in _CHOICES:
            query[name] = _CHOICES[name][value]
        elif name in ("step", "reward"):
            query[name] = _bounds(name, value, "-" if name == "step" else "..")
        else:
            query[name] = value.lower() if name in ("run", "problem", "text") else value
    return query


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
    if re.fullmatch(number, text):
        return float(text), float(text)
    found = re.fullmatch(rf"({number})?{re.escape(between)}({number})?", text)
    if not found or text == between:
        raise BadOption(f"{name} takes {FILTERS[name]}; got {text!r}")
    low, high = found.groups()
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)


def _episode_fits(query: Query, runs: Sequence[ViewedRun], episode: EpisodeEntry) -> bool:
    failures = {episode.failure, "any"} if episode.failure else {"none"}
    return (
        query.get("run", "") in runs[episode.run].name.lower()
        and query.get("problem", "") in episode.problem.lower()
        and query.get("verdict", episode.correct) == episode.correct
        and query.get("part", episode.part) == episode.part
        and ("failure" not in query or query["failure"] in failures)
    )


def _steps_that_fit(query: Query, index: Index, episode: EpisodeEntry) -> Iterator[int]:
    steps = enumerate(index.steps_of(episode), episode.first)
    numbers = [number for number, step in steps if _step_fits(query, step)]
    wanted = query.get("text")
    if wanted is None or not numbers or wanted in episode.problem.lower():
        yield from numbers
        return
    row = read_row(episode)
    for number in numbers:
        if wanted in _all_texts(row, number - episode.first).lower():
            yield number


def _step_fits(query: Query, step: StepEntry) -> bool:
    everywhere = (-math.inf, math.inf)
    (first, last), (low, high) = query.get("step", everywhere), query.get("reward", everywhere)
    form: Callable[[StepEntry], bool] = query.get("form", lambda step: True)
    return (
        first <= step.index <= last
        and ("reward" not in query or (step.reward is not None and low <= step.reward <= high))
        and ("group" not in query or step.outcome in query["group"])
        and form(step)
    )


def _all_texts(row: dict[str, Any], place: int) -> str:
    """All texts of a step: action, completion, expert step, prompt, failure, verdict."""
    step = row["steps"][place]
    texts = [step["action"], step["generation"]["text"], step.get("expert_action") or ""]
    texts += [message["content"] for message in step["messages"]]
    texts += [str(failure["message"]) for failure in (step["failure"], row["failure"]) if failure]
    if place == len(row["steps"]) - 1 and row["verdict"]:
        texts.append(str(row["verdict"].get("answer")))
    return "\n".join(texts)

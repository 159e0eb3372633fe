"""The terminal's filters: which steps are shown.

find_steps(read_query(["step=2-5", "reward=..0.5", "group=dropped", "text=carry"]), runs, index)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from srl_agents.view.index import EpisodeEntry, Index, StepEntry, read_rows
from srl_agents.view.sources import ViewedRun
from srl_env.errors import BadOption, UnknownName
from srl_env.text.prompt import message_text

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
    "form": {"broken": "broken", "legal": "legal", "illegal": "illegal"},
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
    found = [
        number
        for number, step in enumerate(index.steps)
        if _fits(query, runs, index.episodes[step.episode], step)
    ]
    if "text" not in query:
        return found
    with_text: list[int] = []
    of_episodes = [
        (index.episodes[place], list(members))
        for place, members in groupby(found, lambda number: index.steps[number].episode)
    ]
    rows = read_rows(episode for episode, _ in of_episodes)
    for (episode, members), row in zip(of_episodes, rows, strict=True):
        with_text += [n for n in members if query["text"] in _texts(row, n - episode.first)]
    return with_text


def _bounds(name: str, text: str, between: str) -> tuple[float, float]:
    number = r"-?\d+(?:\.\d+)?"
    if re.fullmatch(number, text):
        return float(text), float(text)
    found = re.fullmatch(rf"({number})?{re.escape(between)}({number})?", text)
    if not found or text == between:
        raise BadOption(f"{name} takes {FILTERS[name]}; got {text!r}")
    low, high = found.groups()
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)


def _fits(query: Query, runs: Sequence[ViewedRun], episode: EpisodeEntry, step: StepEntry) -> bool:
    """Whether a step passes all filters but the text."""
    everywhere = (-math.inf, math.inf)
    (first, last), (low, high) = query.get("step", everywhere), query.get("reward", everywhere)
    failures = {episode.failure, "any"} if episode.failure else {"none"}
    forms = {"broken": not step.format_ok, "legal": step.legal is True}
    forms["illegal"] = step.legal is False
    return (
        query.get("run", "") in runs[episode.run].name.lower()
        and query.get("problem", "") in episode.problem.lower()
        and query.get("verdict", episode.correct) == episode.correct
        and query.get("part", episode.part) == episode.part
        and ("failure" not in query or query["failure"] in failures)
        and first <= step.index <= last
        and ("reward" not in query or (step.reward is not None and low <= step.reward <= high))
        and ("group" not in query or step.outcome in query["group"])
        and ("form" not in query or forms[query["form"]])
    )


def _texts(row: dict[str, Any], place: int) -> str:
    """All texts of a step in lower case: problem, prompt, answers, failure, verdict."""
    step = row["steps"][place]
    texts = [str(row["problem_id"]), step["action"], step["generation"]["text"]]
    texts += [step.get("expert_action") or ""]
    texts += [message_text(message) for message in step["messages"]]
    texts += [str(failure["message"]) for failure in (step["failure"], row["failure"]) if failure]
    if place == len(row["steps"]) - 1 and row["verdict"]:
        texts.append(str(row["verdict"].get("answer")))
    return "\n".join(texts).lower()

"""Whether what an expert's thoughts claim is true of its recorded run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from srl_env.problem import ExpertStep


def false_claims(statement: str, steps: Sequence[ExpertStep]) -> list[str]:
    """The claims that nothing earlier in the run shows, each with its thought."""
    found = []
    for number, step in enumerate(steps):
        earlier = [before.observation or "" for before in steps[:number]]
        for claim in _unfounded(step, earlier, statement):
            found.append(f"step {number}: {claim!r} in {step.thought!r}")
    return found


def _unfounded(step: ExpertStep, earlier: Sequence[str], statement: str) -> Iterator[str]:
    thought, last = step.thought or "", earlier[-1] if earlier else ""
    known = "\n".join([statement, *earlier, step.action])
    for span in _spans(thought):
        if span.removesuffix("…") not in known:
            yield span
    for line, path in re.findall(r"line (\d+) of (\S+?)[,:.]?(?= |$)", thought):
        if not any(_shows_line(text, path, line) for text in earlier):
            yield f"line {line} of {path}"
    for line, path, old in re.findall(r"[Ii]n line (\d+) of (\S+), `([^`]*)`", thought):
        if not _numbered(earlier, path, line, old.removesuffix("…")):
            yield f"line {line} of {path} is {old}"
    for name, place, value in re.findall(r"`(\w+)` \((\S+:\d+)\) returns `([^`]*)`", thought):
        if f"{place} {name} -> {value.removesuffix('…')}" not in _last_trace(earlier):
            yield f"{name} returns {value}"
    for values in re.findall(r"When it runs, (.*) is (.*) and (.*) is (.*)\\.$", thought):
        old, old_value, new, new_value = (text.strip("` ").removesuffix("…") for text in values)
        printed = [f"{old} -> {old_value}", f"{new} -> {new_value}"]
        if not all(any(line.startswith(p) for line in last.splitlines()) for p in printed):
            yield f"when it runs: {values}"
    for value in re.findall(r"It (?:prints|ends with) `([^`]*)`; it should", thought):
        if value.removesuffix("…") not in last:
            yield f"it prints {value}"
    for line, path in re.findall(r"is raised at line (\d+) of (\S+), in", thought):
        runs = (re.findall(r'File "\S*?workspace/(\S+)", line (\d+)', text) for text in earlier)
        if not any(frames and frames[-1] == (path, line) for frames in runs):
            yield f"raised at line {line} of {path}"
    if re.search(r"\bpass\b", re.sub(r"`[^`]*`", "", thought)) and not last.rstrip().endswith(
        "[100%]"
    ):
        yield "tests pass"


def _last_trace(earlier: Sequence[str]) -> str:
    traces = (text for text in reversed(earlier) if re.search(r"^\S+:\d+ \w+ -> ", text, re.M))
    return next(traces, "")


def _spans(thought: str) -> list[str]:
    double = re.findall(r"`` (.*?) ``", thought)
    return double + re.findall(r"`([^`]+)`", re.sub(r"`` .*? ``", "", thought))


def _shows_line(text: str, path: str, line: str) -> bool:
    shown = path in text and re.search(rf"^ *{line}\t", text, re.MULTILINE)
    return bool(shown) or bool(re.search(rf'{re.escape(path)}(?:", line |:){line}\b', text))


def _numbered(earlier: Sequence[str], path: str, line: str, old: str) -> bool:
    for text in reversed(earlier):
        found = re.search(rf"^ *{line}\t(.*)$", text, re.MULTILINE) if path in text else None
        if found:
            return old in found[1]
    return False

"""Episodes read as solutions: accepted or rejected, in steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from srl_env.data.forms.splitters import Splitter, get_splitter, lines, paragraphs
from srl_env.data.rows import BadRow
from srl_env.environment import ReasoningEnv
from srl_env.errors import Failure
from srl_env.problem import ExpertStep, ExpertTrajectory
from srl_env.rollout import Episode

Verdict = Literal["accepted", "wrong", "format", "truncated", "split"]
"""Why a solution is rejected: the verifier does not accept it, a step breaks the format or reaches
the token limit, or its steps are not accepted one after the other."""

_SPLITTERS: dict[str, Splitter] = {"\n": lines, "\n\n": paragraphs}


class StepsNotChecked(Failure):
    """The verifier failed at the steps of a solution that it had accepted as a whole."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A policy's solution. trajectory: None if it has no step that can be written."""

    verdict: Verdict
    trajectory: ExpertTrajectory | None


def read_solution(
    env: ReasoningEnv, episode: Episode, source: str, splitter: str | None = None
) -> Solution:
    """The solution in an episode that did not fail.

    A turn is a step. A whole solution is split, and its steps are taken in ``env`` one by one, as
    a training on them will. env: an environment like the episode's. source: who wrote it. Raises
    StepsNotChecked.
    """
    steps = [
        _step(env, step.generation.text, step.action, step.observation) for step in episode.steps
    ]
    verdict = _verdict(episode)
    if episode.granularity == "solution" and episode.steps:
        steps = split_solution(env, steps[0], splitter)
        if verdict == "accepted":
            steps, verdict = _taken(env, episode.problem_id, steps)
    written = tuple(step for step in steps if step.action.strip())
    return Solution(verdict, ExpertTrajectory(written, source) if written else None)


def split_solution(
    env: ReasoningEnv, whole: ExpertStep, splitter: str | None = None
) -> list[ExpertStep]:
    """The steps of a whole solution; its thought goes to the first of them.

    splitter: by name; None for the environment's own separator of steps.
    """
    join, stops = env.style.join, env.format.stop
    if splitter is not None or join in _SPLITTERS:
        split = _SPLITTERS[join] if splitter is None else get_splitter(splitter)
        try:
            parts: Sequence[str | ExpertStep] = split(whole.action)
        except BadRow:
            parts = [whole.action]
    elif join:
        parts = whole.action.split(join)
    elif stops:
        parts = re.findall(rf".*?(?:{'|'.join(map(re.escape, stops))}|$)", whole.action, re.DOTALL)
    else:
        parts = [whole.action]
    steps = [part if isinstance(part, ExpertStep) else ExpertStep(part.strip()) for part in parts]
    steps = [step for step in steps if step.action] or [whole]
    first = steps[0]
    return [ExpertStep(first.action, first.title, whole.thought), *steps[1:]]


def _step(env: ReasoningEnv, text: str, action: str, observation: str | None) -> ExpertStep:
    return ExpertStep(
        action, thought=env.format.parse(text).thought or None, observation=observation
    )


def _verdict(episode: Episode) -> Verdict:
    if not episode.correct:
        return "wrong"
    if not all(step.format_ok for step in episode.steps):
        return "format"
    if any(step.generation.finish_reason == "length" for step in episode.steps):
        return "truncated"
    return "accepted"


def _taken(
    env: ReasoningEnv, problem_id: str, steps: Sequence[ExpertStep]
) -> tuple[list[ExpertStep], Verdict]:
    """The steps up to the end of the episode that they make, and whether it is accepted."""
    episode = {"problem": problem_id, "reward_mode": "rlvr", "continuation": "policy"}
    env.reset(seed=0, options={**episode, "granularity": "step", "max_steps": len(steps)})
    for number, step in enumerate(steps, 1):
        _, _, terminated, truncated, info = env.step(env.format.render(step))
        if "failure" in info:
            raise StepsNotChecked(f"{info['failure']['type']}: {info['failure']['message']}")
        if not info["format_ok"] or info["action"] != step.action:
            break
        if terminated or truncated:
            correct = (info["verdict"] or {}).get("correct", False)
            return list(steps[:number]), "accepted" if correct else "split"
    return list(steps), "split"

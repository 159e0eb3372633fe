"""Texts that are made to break things: verifiers must end, and nothing may raise.

A policy's texts are hostile: trained on a reward, it finds every text that an author did not think
of. The texts here are drawn, the same ones every time, from fragments that have broken verifiers
and parsers elsewhere.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from srl_env.check.report import Finding, Note
from srl_env.check.rewards import out_of_range
from srl_env.check.trial import Trial, line_in, short
from srl_env.environment import ReasoningEnv
from srl_env.problem import ExpertStep
from srl_env.seeding import stream
from srl_env.time_limit import OutOfTime, run_within
from srl_env.verifiers.responsibility import POLICY_FAULT
from srl_env.verifiers.worker_pool import WALL_FACTOR

DEADLINE_S = 10.0
"""For a verifier without a ``deadline_s`` of its own, and for a step."""
ANY_TIME_S = 120.0
"""For a step of an environment whose ``world_timeout_s`` is None."""
_GRACE_S = 5.0
_MOST_FINDINGS = 3
_NASTY = (
    "9^{9^{9^9}}", "1e999999999", "9" * 100_000, "(" * 5_000, "\\frac{" * 2_000, "1/0", "nan",
    "-inf", "\x00", "\ud800", "٣½²", "{" * 5_000 + "}" * 5_000, "a" * 40 + "!", " " * 50_000,
    "1," * 20_000, "-" * 50_000, "1 " * 20_000, "\n" * 20_000, "x" * 1_000_000,
)  # fmt: skip
_FRAGMENTS = (
    "", " ", "\n", "\r\n", "\t", "\x00", "\x1b[31m", "\x07", "\u202e", "\u200b", "\ud800", "\udfff",
    "\ufeff", "🙂", "é", "½", "٣", "−", "∞", "<think>", "</think>", "<think", "(", ")", "((", "))",
    ";", "#", "####", "#### ", "\\boxed{", "}", "{", "{}", "{0.__class__}", "%s", "%n", "$", "$$",
    "\\", "\\\\", "'", '"', "`", "```python\n", "<script>", "</s>", "<|im_end|>", "&lt;", "0", "1",
    "-1", "1/0", "1e9999", "nan", "inf", "9" * 400, "0." + "3" * 300, "9**9**9", "None", "True",
    "null", "[]", '{"a":', "hm", "the answer is", "=", "+", "==", ",", "../../etc/passwd", "rm -rf",
)  # fmt: skip
# How a call that starts like the expert's may continue.
_TAILS = (
    "9**9**9", " 9**9**9", "**9**9", "^9^9^9", "9" * 400, "9" * 5_000, "1e999999999", "-1", "0",
    " / 0", "nan", "(" * 300, "(" * 300 + "1" + ")" * 300, "[" * 3_000, '{"a":' * 1_000,
    "<a>" * 1_000, "\x00", "\x1b[2J", "\x1b]8;;http://a.b\x07", "\x07", "\x9b31m", "\u202e",
    "\u2066", "\r", "\ud800", "\udfff", '"\\ud800"', '{"path": "\\ud800"}', "\n\n", "'", '"',
    "`", "\\", "%s", "{0.__class__}", "../" * 50, " " * 20_000, "a" * 20_000,
)  # fmt: skip
_NUMBER = re.compile(r"\d+")
_HUGE = ("9**9**9", "9^{9^{9^9}}", "1e999999999", "9" * 400, "-1", "1/0", "٣", "\ud800")


def check_deadline(trial: Trial, problem_id: str) -> Iterator[Finding | Note]:
    """The verifier answers, or fails, before its deadline, whatever stands for the answer."""
    verifier, problem = trial.env.verifier, trial.problem(problem_id)
    limit = _verifier_limit(trial.env)
    template = problem.trajectories[0].actions[-1] if problem.trajectories else ""
    answer = problem.answer or template
    end = time.monotonic() + trial.seconds
    for done, nasty in enumerate(_NASTY):
        if time.monotonic() > end:
            yield _tried_note(done, len(_NASTY), trial)
            return
        text = template.replace(answer, nasty) if answer and answer in template else nasty
        calls: dict[str, Callable[[], object]] = {
            "extract": partial(verifier.extract, text),
            "verify": partial(verifier.verify, problem, [text]),
        }
        for name, call in calls.items():
            if (where := _hangs_at(call, limit)) is not None:
                yield Finding(
                    f"verifier.{name}() had not ended after {limit:g} s on {short(text)} "
                    f"({len(text):,} characters)",
                    f"an answer, or a VerifierTimeout, within {limit:g} s ({WALL_FACTOR:g} times "
                    f"its deadline_s, or else {DEADLINE_S:g}, and {_GRACE_S:g})",
                    "limit the text's length, use patterns that take linear time, or run the work "
                    "in a process that can be killed (srl_env.verifiers.worker_pool)",
                    where,
                )
                return


def check_hostile(trial: Trial, problem_id: str) -> Iterator[Finding | Note]:
    """Hostile texts cause no exception, no hanging, no failure, and only finite rewards."""
    counts = Counter[str]()
    last = ""
    if not trial.hostile:
        yield _tried_note(0, 0, trial)
    end = time.monotonic() + trial.seconds
    modes = [mode for mode in trial.modes() if trial.begin(problem_id, mode, "policy")]
    for number in range(trial.hostile):
        if time.monotonic() > end:
            yield _tried_note(number, trial.hostile, trial)
            break
        if number % 4 == 0 or not _open(trial.env):
            mode = modes[number // 4 % len(modes)]
            trial.begin(problem_id, mode, "policy", max_steps=4)
        text = hostile_text(trial.env, number)
        info, findings = _tried(trial, text)
        yield from findings
        if findings:
            trial.begin(problem_id, modes[0], "policy")
        if "failure" in info:
            last = short(text)
        counts["found"] += len(findings)
        counts["failures"] += "failure" in info
        counts["verdicts"] += "verdict" in info
        counts["faults"] += POLICY_FAULT in info.get("verdict", {})
        if counts["found"] >= _MOST_FINDINGS:
            break
    if counts["failures"] and counts["verdicts"]:
        yield Finding(
            f"{counts['failures']:,} of the texts ended in a failure and {counts['verdicts']:,} in "
            f"a verdict; the last that failed: {last}",
            "the same for all: an episode that a text makes fail is in no score",
            "give the problem an expert or an answer that the verifier finds correct, or the "
            "verifier a control(problem), so that it can be decided who is responsible",
        )
    elif counts["failures"]:
        yield Note(f"{counts['failures']:,} of the texts ended in a failure")
    if faults := counts["faults"]:
        yield Note(f"{faults:,} of the texts were found responsible for a failure, and wrong")


def _tried(trial: Trial, text: str) -> tuple[dict[str, Any], list[Finding]]:
    """The info of a step with a hostile text, and what is wrong with the step."""
    env, limit, on_text = trial.env, _step_limit(trial.env), f"on the text {short(text)}"
    try:
        _, reward, _, _, info = run_within(partial(env.step, text), limit)
    except OutOfTime as error:
        seen = f"env.step() had not ended after {limit:g} s {on_text}"
        advice = (
            "limit what the world and the judge compute from a text, or give the environment a "
            "world_timeout_s"
        )
        return {}, [Finding(seen, "an end, whatever a policy writes", advice, error.where)]
    except Exception as error:  # noqa: BLE001  # the boundary to the author's code
        seen = f"{type(error).__name__}: {error!s:.200} {on_text}"
        expected = "no exception, whatever a policy writes"
        advice = "treat what cannot be read as a wrong answer"
        return {}, [Finding(seen, expected, advice, line_in(error))]
    if not math.isfinite(reward) and "failure" not in info:
        seen, expected = f"reward {reward} {on_text}", "a finite reward, or info['failure']"
        advice = "raise a srl_env.errors.Failure if there is no reward"
        return info, [Finding(seen, expected, advice)]
    return info, list(out_of_range(env.reward_mode, reward, f"the text {short(text)}"))


def longest_s(trial: Trial) -> float:
    """How long a check with hostile texts may take, if every step can be interrupted."""
    return trial.seconds + (_MOST_FINDINGS + 1) * _step_limit(trial.env)


def _step_limit(env: ReasoningEnv) -> float:
    """How long a step may take, repetition and control included."""
    world = ANY_TIME_S if env.has_world and env.world_timeout_s is None else DEADLINE_S
    return max(world + _GRACE_S, 3 * _verifier_limit(env))


def _verifier_limit(env: ReasoningEnv) -> float:
    """How long a verdict may take by the clock; deadlines count processor time."""
    deadline = getattr(env.verifier, "deadline_s", None)
    return _GRACE_S + (DEADLINE_S if deadline is None else WALL_FACTOR * float(deadline))


def hostile_text(env: ReasoningEnv, number: int) -> str:
    """Text number ``number``: one in three starts like a step of the expert's, the others are
    fragments and pieces of its steps. Some are very long."""
    rng = stream("hostile", number)
    expert = [step.action for step in env.expert_steps] if env._state is not None else []
    if expert and number % 3 == 0:
        text = _like(expert[int(rng.integers(len(expert)))], rng)
    else:
        pieces = [*_FRAGMENTS, *env.format.stop, *expert[-2:]]
        text = "".join(pieces[i] for i in rng.integers(len(pieces), size=int(rng.integers(1, 12))))
    if number % 50 == 0:
        text = (text * 200)[:20_000]
    return env.format.render(ExpertStep(text)) if number % 2 else text


def _like(action: str, rng: np.random.Generator) -> str:
    """An expert's action with a number replaced, or cut somewhere and continued differently."""
    kind = int(rng.integers(3))
    if kind == 0 and (numbers := list(_NUMBER.finditer(action))):
        chosen = numbers[int(rng.integers(len(numbers)))]
        huge = _HUGE[int(rng.integers(len(_HUGE)))]
        return f"{action[: chosen.start()]}{huge}{action[chosen.end() :]}"
    ends = [found.end() for found in re.finditer(r"\w+\W?", action)] if kind == 1 else []
    end = ends[int(rng.integers(len(ends)))] if ends else int(rng.integers(len(action) + 1))
    return action[:end] + _TAILS[int(rng.integers(len(_TAILS)))]


def _tried_note(tried: int, of: int, trial: Trial) -> Note:
    return Note(f"{tried:,} of {of:,} texts in {trial.seconds:g} s", skipped=not tried)


def _open(env: ReasoningEnv) -> bool:
    return env._state is not None and env._state.open


def _hangs_at(call: Callable[[], object], limit: float) -> str | None:
    """ "file:line" of a call that does not end in time; None for one that ends."""
    try:
        run_within(call, limit)
    except OutOfTime as error:
        return error.where
    except Exception:  # noqa: BLE001  # other checks report it; here it has ended
        return None
    return None

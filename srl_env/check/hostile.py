"""Texts that were made to break things: verifiers must end, and nothing may raise.

What a policy writes is hostile: trained on a reward, it finds every text that an author did not
think of. The texts here are drawn, the same ones every time, from fragments that have broken
verifiers and parsers elsewhere.
"""

from __future__ import annotations

import ctypes
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator

from srl_env.check.marks import out_of_range
from srl_env.check.report import Finding, Note
from srl_env.check.trial import Trial, line_in, short
from srl_env.environment import ReasoningEnv
from srl_env.problem import ExpertStep
from srl_env.rewards.modes import get_reward_mode
from srl_env.seeding import stream

DEADLINE_S = 10.0
"""Of a verifier that states no ``deadline_s`` of its own."""
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


def check_deadline(trial: Trial, problem_id: str) -> Iterator[Finding | Note]:
    """The verifier answers, or fails, before its deadline, whatever stands for the answer."""
    verifier, problem = trial.env.verifier, trial.problem(problem_id)
    limit = float(getattr(verifier, "deadline_s", DEADLINE_S)) + _GRACE_S
    template = problem.trajectories[0].actions[-1] if problem.trajectories else ""
    answer = problem.answer or template
    end = time.monotonic() + trial.seconds
    for done, nasty in enumerate(_NASTY):
        if time.monotonic() > end:
            yield _told(done, len(_NASTY), trial)
            return
        text = template.replace(answer, nasty) if answer and answer in template else nasty
        for name, call in (
            ("extract", lambda: verifier.extract(text)),  # noqa: B023  # called in this round
            ("verify", lambda: verifier.verify(problem, [text])),  # noqa: B023
        ):
            where = _hangs_at(call, limit)
            if where is not None:
                yield Finding(
                    f"verifier.{name}() had not ended after {limit:g} s on {short(text)} "
                    f"({len(text):,} characters)",
                    f"an answer, or a VerifierTimeout, within {limit:g} s (its deadline_s, else "
                    f"{DEADLINE_S:g}, and {_GRACE_S:g})",
                    "limit the text's length, use patterns that take linear time, or run the work "
                    "in a process that can be killed (srl_env.verifiers.deadline)",
                    where,
                )
                return


def check_hostile(trial: Trial, problem_id: str) -> Iterator[Finding | Note]:
    """Hostile texts cause no exception, and no reward that is not a finite number."""
    env, found, failures = trial.env, 0, 0
    if not trial.hostile:
        yield _told(0, 0, trial)
    end = time.monotonic() + trial.seconds
    modes = [m for m in map(get_reward_mode, trial.modes()) if _possible(trial, problem_id, m.name)]
    for number in range(trial.hostile):
        if time.monotonic() > end:
            yield _told(number, trial.hostile, trial)
            break
        text, mode = hostile_text(env, number), modes[number // 4 % len(modes)]
        try:
            if number % 4 == 0 or not _open(env):
                trial.begin(problem_id, mode.name, "policy", max_steps=4)
            _, reward, _, _, info = env.step(text)
        except Exception as error:  # noqa: BLE001  # the boundary to the author's code
            found += 1
            yield Finding(
                f"{type(error).__name__}: {error!s:.200} on the text {short(text)}",
                "no exception, whatever a policy writes",
                "treat what cannot be read as a wrong answer",
                line_in(error),
            )
            trial.begin(problem_id, mode.name, "policy")
        else:
            failures += "failure" in info
            if not math.isfinite(reward) and "failure" not in info:
                found += 1
                yield Finding(
                    f"reward {reward} for the text {short(text)}",
                    "a finite reward, or info['failure']",
                    "raise a srl_env.errors.Failure where no reward can be had",
                )
            for finding in out_of_range(env.reward_mode, reward, f"the text {short(text)}"):
                found += 1
                yield finding
        if found >= _MOST_FINDINGS:
            break
    if failures:
        yield Note(f"{failures:,} of the texts ended in a failure")


def hostile_text(env: ReasoningEnv, number: int) -> str:
    """Text number ``number``: fragments, pieces of the expert's steps, sometimes very long."""
    rng = stream("hostile", number)
    pieces = [*_FRAGMENTS, *env.format.stop]
    pieces += [step.action for step in env.expert_steps[-2:]] if env._state is not None else []
    text = "".join(pieces[i] for i in rng.integers(len(pieces), size=int(rng.integers(1, 12))))
    if number % 50 == 0:
        text = (text * 200)[:20_000]
    return env.format.render(ExpertStep(text)) if number % 2 else text


def _told(tried: int, of: int, trial: Trial) -> Note:
    """How many texts were tried; with none, nothing was checked."""
    return Note(f"{tried:,} of {of:,} texts in {trial.seconds:g} s", skipped=not tried)


def _possible(trial: Trial, problem_id: str, mode: str) -> bool:
    return trial.begin(problem_id, mode, "policy") is not None


def _open(env: ReasoningEnv) -> bool:
    return env._state is not None and env._state.open


def _hangs_at(call: Callable[[], object], limit: float) -> str | None:
    """ "file:line" where a call is that did not end in time; None for one that did."""
    thread = threading.Thread(target=_quietly, args=(call,), daemon=True)
    thread.start()
    thread.join(limit)
    if not thread.is_alive():
        return None
    assert thread.ident is not None, "it was started"
    frame = sys._current_frames().get(thread.ident)
    where = "unknown" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
    _stop(thread)
    return where


def _quietly(call: Callable[[], object]) -> None:
    try:
        call()
    except BaseException:  # noqa: BLE001  # other checks say what was raised; here it has ended
        return


def _stop(thread: threading.Thread) -> None:
    """Ends a thread at its next line of Python; one inside of C code goes on."""
    assert thread.ident is not None, "it was started"
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
    )
    thread.join(1.0)

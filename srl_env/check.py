"""Whether an environment keeps what every environment here promises: ``check_env``.

Gymnasium's own check, and ours: the expert gets full marks, an empty answer does not, nothing
leaks, a prefix is the same as replaying it, modes leave the world alone, seeds repeat, infos can
be stored, snapshots go back. A check runs real episodes on a few drawn problems, so in an
environment with a slow world it takes as long as some dozens of episodes.

A *leak* is text in observation, messages, info, ``repr`` or the pickled observation that holds
the answer, an expert's action that was not scored yet, or any of the expert's thoughts, between
word boundaries. Not counted: what the problem's prompt, the prompt style, the actions so far or
the world's answers say too. Outside the observation, secrets of fewer than four characters
aren't looked for either: numbers like "3" stand in ids and counters by chance.
"""

from __future__ import annotations

import json
import math
import pickle
import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UserError
from srl_env.problem import ExpertStep
from srl_env.registration import make
from srl_env.rewards.modes import get_reward_mode, reward_modes
from srl_env.stepping import StepResult

SHORT_SECRET = 4
LONGEST_REPR = 200


class CheckError(UserError):
    """An environment breaks a promise; the message lists what was seen and what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: what was seen, what was expected, what to do."""

    seen: str
    expected: str
    advice: str

    def __str__(self) -> str:
        return f"seen: {self.seen}\n  expected: {self.expected}\n  to do: {self.advice}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: passed where nothing was found."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def __str__(self) -> str:
        lines = [f"{'ok  ' if self.passed else 'FAIL'} {self.name}"]
        return "\n".join([*lines, *(f"  {finding}" for finding in self.findings)])


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All checks of one environment."""

    environment: str
    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(result.passed for result in self.results)

    def __str__(self) -> str:
        return "\n".join([self.environment, *map(str, self.results)])


def check_env(
    env: ReasoningEnv | str,
    *,
    problems: int = 3,
    raise_on_failure: bool = True,
    **arguments: Any,
) -> CheckReport:
    """The report on an environment, or on the one with that id made with these arguments.

    problems: how many problems are drawn and tried.
    Raises ``CheckError`` with the report as text, unless ``raise_on_failure`` is off.
    """
    env = make(env, **arguments) if isinstance(env, str) else env
    if not isinstance(env.unwrapped, ReasoningEnv):
        raise BadOption(f"check_env checks ReasoningEnv objects; got {type(env).__name__}")
    env = env.unwrapped
    drawn: dict[str, None] = {}
    results = [
        _run("Gymnasium's own check", lambda: _check_gymnasium(env)),
        _run("problems are drawn", lambda: _check_draws(env, problems, drawn)),
    ]
    results += [
        _run(name, lambda check=check: (f for i in drawn for f in check(env, i)))  # type: ignore[misc]
        for name, check in CHECKS.items()
    ]
    report = CheckReport(repr(env), tuple(results))
    if raise_on_failure and not report.passed:
        raise CheckError(str(report))
    return report


def _run(name: str, check: Callable[[], Iterator[Finding]]) -> CheckResult:
    """The result of one check, equal findings once."""
    findings: list[Finding] = []
    try:
        findings += check()
    except Exception as error:  # noqa: BLE001  # the boundary to the author's code
        findings.append(
            Finding(
                f"{type(error).__name__}: {error}",
                "no exception",
                "run the same calls by hand to see where it comes from",
            )
        )
    return CheckResult(name, tuple(dict.fromkeys(findings)))


def _check_gymnasium(env: ReasoningEnv) -> Iterator[Finding]:
    """Its exceptions and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            gymnasium_check_env(env, skip_render_check=env.spec is None)
        except (AssertionError, gymnasium.error.Error, TypeError) as error:
            yield Finding(str(error), "no complaint", "see gymnasium.utils.env_checker")
    for warning in caught:
        yield Finding(str(warning.message), "no warning", "see gymnasium.utils.env_checker")


def _check_draws(env: ReasoningEnv, count: int, drawn: dict[str, None]) -> Iterator[Finding]:
    """The seeds 0 … count−1 draw problems, which source and environment know by their ids."""
    for seed in range(count):
        _, info = env.reset(seed=seed)
        drawn[env.problem.id] = None
        found = env.problems[env.problems.index_of(env.problem.id)].id
        if not info["problem_id"] == env.problem.id == found:
            yield Finding(
                f"problem {env.problem.id!r} is {info['problem_id']!r} in info and {found!r} at "
                "its index_of()",
                "one id for one problem",
                "mend the source's ids or index_of()",
            )


def _check_expert_srl(env: ReasoningEnv, problem_id: str) -> Iterator[Finding]:
    """Each of the expert's own steps is worth 1, is legal, and the last one is right."""
    if not _begin(env, problem_id, "srl", "expert"):
        return
    for index, result in enumerate(_expert_episode(env)):
        _, reward, _, _, info = result
        step = f"step {index} of problem {problem_id!r}"
        if reward != 1.0:
            yield Finding(
                f"reward {reward} for the expert's own {step}, format_ok {info['format_ok']}, "
                f"read as {_short(info['action'])}",
                "1.0",
                "make format.parse(format.render(step)).action equal to the expert's action, e.g. "
                "by stripping it where the data is read",
            )
        if info["legal"] is False:
            yield Finding(
                f"legal() calls the expert's {step} wrong: {_short(info['action'])}",
                "True, or None where there is no step checker",
                "mend legal() or the expert",
            )
    yield from _right(result, problem_id)


def _check_expert_rlvr(env: ReasoningEnv, problem_id: str) -> Iterator[Finding]:
    """The expert's steps end in a right answer, and not before the last."""
    if not _begin(env, problem_id, "rlvr", "policy") or not env.expert_steps:
        return
    results, steps = list(_expert_episode(env)), len(env.expert_steps)
    if len(results) != steps or not results[-1][2]:
        yield Finding(
            f"the expert's episode of problem {problem_id!r} took {len(results)} steps and "
            f"{'terminated' if results[-1][2] else 'did not terminate'}",
            f"terminated after its {steps} steps",
            "make is_final(), by default verifier.extract(), find a final answer in the expert's "
            "last action and in none before it",
        )
    if (total := math.fsum(result[1] for result in results)) != 1.0:
        yield Finding(f"return {total} for the expert in mode rlvr", "1.0", "mend the verifier")
    yield from _right(results[-1], problem_id)


def _check_expert_solution(env: ReasoningEnv, problem_id: str) -> Iterator[Finding]:
    """The expert's whole solution, as one action, is right."""
    if _begin(env, problem_id, "rlvr", "policy", granularity="solution") and env.expert_steps:
        yield from _right(env.step(env.expert_completion()), problem_id)


def _check_empty(env: ReasoningEnv, problem_id: str) -> Iterator[Finding]:
    """Saying nothing is worth nothing, in steps or as a whole."""
    for granularity in ("step", "solution"):
        for completion in ("", env.format.render(ExpertStep(""))):
            _begin(env, problem_id, "rlvr", "policy", granularity=granularity, max_steps=1)
            _, reward, _, _, info = env.step(completion)
            if reward != 0.0 or info.get("verdict", {}).get("correct") is not False:
                yield Finding(
                    f"reward {reward} and verdict {info.get('verdict')} for {completion!r} on "
                    f"problem {problem_id!r}, granularity {granularity}",
                    "reward 0.0 and a verdict that is not correct",
                    "make the verifier refuse an empty answer",
                )
    if _begin(env, problem_id, "srl", "expert") and (reward := env.step("")[1]) != -1.0:
        yield Finding(
            f"reward {reward} for an empty completion in mode srl",
            "-1.0, as for every completion that breaks the format",
            "make format.parse('') not ok",
        )


def _check_leaks(env: ReasoningEnv, problem_id: str) -> Iterator[Finding]:
    """See the module's docstring."""
    if not _begin(env, problem_id, "srl", "expert"):
        return
    prompt = env.problem.prompt
    if len(env.expert_steps) > 1 and all(step.action in prompt for step in env.expert_steps):
        yield Finding(
            f"the prompt of problem {problem_id!r} contains every step of the expert",
            "a prompt without the solution",
            "leave the solution out where the data is read",
        )
    for continuation in ("expert", "policy"):
        result: Any = _begin(env, problem_id, "srl", continuation)
        while True:
            yield from _leaks(env, result[0], result[-1])
            result = env.step(env.format.render(ExpertStep("hm")))
            if result[2] or result[3]:
                break


def _leaks(env: ReasoningEnv, observation: str, info: dict[str, Any]) -> Iterator[Finding]:
    shown = [observation, *(message["content"] for message in info["messages"])]
    shown.append(pickle.dumps(observation).decode("utf-8", "replace"))
    other = [repr(env), str(env), *_texts({k: v for k, v in info.items() if k != "messages"})]
    public = "\n".join(_public(env))
    for kind, secret in _secrets(env):
        pattern = re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)")
        if pattern.search(public):
            continue
        places = shown if len(secret) < SHORT_SECRET else shown + other
        for place in places:
            if pattern.search(place):
                yield Finding(
                    f"{kind} {_short(secret)} of problem {env.problem.id!r} is visible at step "
                    f"{env.step_index}: {_short(_around(pattern, place))}",
                    "nothing of the expert that was not scored yet, and no thoughts",
                    "take it out of the prompt, the titles, the id or the info",
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


def _check_prefix(env: ReasoningEnv, problem_id: str) -> Iterator[Finding]:
    """Starting at a step is the same as getting there with the expert's steps."""
    if not _begin(env, problem_id, "srl", "expert"):
        return
    steps = len(env.expert_steps)
    for continuation in ("expert", "policy"):
        for start in sorted({1, steps // 2, steps - 1} & set(range(1, steps))):
            given = _begin(env, problem_id, "srl", continuation, start_step=start)
            turns = env.history
            replayed: Any = _begin(env, problem_id, "srl", continuation)
            for _ in range(start):
                replayed = env.step(env.expert_completion())
            if continuation == "policy" and not env.has_world and any(t.observation for t in turns):
                continue  # the record answers the expert's steps, and nothing answers one's own
            if given is None or given[0] != replayed[0] or turns != env.history:
                yield Finding(
                    f"problem {problem_id!r} with start_step={start}, continuation "
                    f"{continuation!r}, shows another observation than replaying those steps",
                    "the same observation",
                    "make world_step() deterministic and the expert's actions survive "
                    "format.parse(format.render(step))",
                )


def _check_modes(env: ReasoningEnv, problem_id: str) -> Iterator[Finding]:
    """The same actions show the same in every reward mode."""
    for continuation in ("expert", "policy"):
        seen: dict[str, Any] = {}
        for mode in reward_modes():
            if _begin(env, problem_id, mode, continuation, granularity="step"):
                seen[mode] = [_without_reward(result) for result in _probe_episode(env)]
        for mode, trace in seen.items():
            if trace != seen["rlvr"]:
                yield Finding(
                    f"observations or infos differ between modes rlvr and {mode} on problem "
                    f"{problem_id!r}, continuation {continuation!r}",
                    "the same in every mode",
                    "let nothing but rewards depend on the reward mode",
                )


def _check_seeds(env: ReasoningEnv, problem_id: str) -> Iterator[Finding]:
    """A seed repeats the whole episode, and the global generators are left alone."""
    before = random.getstate(), repr(np.random.get_state())
    traces = []
    for _ in range(2):
        first = env.reset(seed=12345)
        traces.append([first, *_probe_episode(env)])
    if repr(traces[0]) != repr(traces[1]):  # repr: NaN equals itself
        yield Finding(
            "two episodes with seed 12345 and the same actions differ",
            "the same observations, rewards and infos",
            "draw random numbers from self.np_random only",
        )
    if before != (random.getstate(), repr(np.random.get_state())):
        yield Finding(
            "an episode changed the global state of random or numpy.random",
            "global generators left alone",
            "draw random numbers from self.np_random only",
        )


def _check_infos(env: ReasoningEnv, problem_id: str) -> Iterator[Finding]:
    """Infos and observations go through JSON and pickle unchanged."""
    results: list[Any] = [env.reset(seed=0, options={"problem": problem_id})]
    results += _probe_episode(env)
    for result in results:
        observation, info = result[0], result[-1]
        try:
            stored = json.loads(json.dumps(info, allow_nan=False)), json.dumps(observation)
            observation.encode()
            same = stored[0] == info and pickle.loads(pickle.dumps(info)) == info
        except (TypeError, ValueError, pickle.PicklingError) as error:
            yield Finding(
                f"{type(error).__name__}: {error}",
                "an info and an observation that JSON, UTF-8 and pickle can store",
                "put only texts, finite numbers, True, False, None, lists and dicts with text "
                "keys into verdicts' details and infos",
            )
            continue
        if not same:
            yield Finding(
                f"info {_short(repr(info))} comes back changed from JSON or pickle",
                "the same info",
                "use lists instead of tuples and texts as keys",
            )


def _check_snapshots(env: ReasoningEnv, problem_id: str) -> Iterator[Finding]:
    """A snapshot taken after a step goes back to it, twice, also through pickle."""
    for continuation in ("expert", "policy"):
        if not _begin(env, problem_id, "srl", continuation):
            return
        env.step(env.expert_completion())
        snapshot = env.snapshot()
        here = env.restore(snapshot)
        traces = [[here, *_probe_episode(env)] if len(env.expert_steps) > 1 else [here]]
        for saved in (snapshot, pickle.loads(pickle.dumps(snapshot))):
            back = env.restore(saved)
            traces.append([back, *_probe_episode(env)] if len(env.expert_steps) > 1 else [back])
        if not all(repr(trace) == repr(traces[0]) for trace in traces):
            yield Finding(
                f"problem {problem_id!r}, continuation {continuation!r}, goes on differently "
                "after restore()",
                "the same observations, rewards and infos",
                "make world_state() return an independent copy of everything that changes, and "
                "world_restore() copy it back",
            )


def _check_repr(env: ReasoningEnv, problem_id: str) -> Iterator[Finding]:
    """A short text."""
    if len(repr(env)) > LONGEST_REPR:
        yield Finding(
            f"repr(env) has {len(repr(env))} characters",
            f"at most {LONGEST_REPR}",
            "leave data out of __repr__",
        )


CHECKS: dict[str, Callable[[ReasoningEnv, str], Iterator[Finding]]] = {
    "the expert gets full marks, step by step (srl)": _check_expert_srl,
    "the expert gets full marks at the end (rlvr)": _check_expert_rlvr,
    "the expert's whole solution is right": _check_expert_solution,
    "an empty answer gets nothing": _check_empty,
    "nothing leaks": _check_leaks,
    "a prefix equals its replay": _check_prefix,
    "modes leave the world alone": _check_modes,
    "a seed repeats the episode": _check_seeds,
    "infos can be stored": _check_infos,
    "snapshots go back": _check_snapshots,
    "repr is short": _check_repr,
}


def _begin(
    env: ReasoningEnv, problem_id: str, mode: str, continuation: str, **options: Any
) -> tuple[str, dict[str, Any]] | None:
    """Starts an episode of the problem; None where it would need an expert that is not there."""
    index = env.problems.index_of(problem_id)
    steps = [len(t.steps) for t in env.problems[index].trajectories]
    if not steps and (continuation == "expert" or get_reward_mode(mode).needs_expert):
        return None
    chosen = {"problem": problem_id, "reward_mode": mode, "continuation": continuation}
    defaults = {"granularity": "step", "max_steps": max(steps, default=4)}
    return env.reset(seed=0, options={**chosen, **defaults, **options})


def _expert_episode(env: ReasoningEnv) -> Iterator[StepResult]:
    """The expert's steps until the episode ends."""
    while True:
        result = env.step(env.expert_completion())
        yield result
        if result[2] or result[3]:
            return


def _probe_episode(env: ReasoningEnv) -> Iterator[StepResult]:
    """Good and bad steps in turn until the episode ends: the expert's, nonsense, nothing."""
    nonsense: Sequence[str] = (env.format.render(ExpertStep("hm")), "", "\ud800 <think> (")
    for number in range(10_000):
        expert = number % 2 == 0 and env.step_index < len(env.expert_steps)
        completion = env.expert_completion() if expert else nonsense[number // 2 % 3]
        result = env.step(completion)
        yield result
        if result[2] or result[3]:
            return


def _right(result: StepResult, problem_id: str) -> Iterator[Finding]:
    verdict = result[4].get("verdict")
    if verdict is None or verdict["correct"] is not True:
        yield Finding(
            f"verdict {verdict} at the end of the expert's solution of problem {problem_id!r}"
            + (f", failure {result[4]['failure']}" if "failure" in result[4] else ""),
            "a verdict that is correct",
            "make verifier.verify() accept the expert's last action",
        )


def _without_reward(result: StepResult) -> tuple[Any, ...]:
    info = {k: v for k, v in result[4].items() if k not in ("reward_mode", "reward_parts")}
    return result[0], result[2], result[3], info


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


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")

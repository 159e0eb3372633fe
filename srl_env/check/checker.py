"""``check_env``, and the checks in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from srl_env.check import determinism, interface, leaks, rewards, robustness
from srl_env.check.report import (
    CheckError,
    CheckReport,
    CheckResult,
    Finding,
    Note,
    one_per_mistake,
)
from srl_env.check.trial import Trial, line_in
from srl_env.environment import ReasoningEnv
from srl_env.episode.options import read_count
from srl_env.errors import BadOption
from srl_env.registration.ids import make, offline_arguments
from srl_env.seconds import check_seconds

Found = Iterator[Finding | Note]


def check_env(
    env: ReasoningEnv | str,
    *,
    problems: int = 3,
    hostile: int = 10_000,
    seconds: float = 20.0,
    raise_on_failure: bool = True,
    **arguments: Any,
) -> CheckReport:
    """The report on an environment, or on the one of that name made with these arguments.

    env: a class made without arguments gets its ``offline_kwargs`` if it has some.
    problems: how many problems are drawn and tried. hostile: how many hostile texts are tried;
    seconds: for how long at most, in each of the two checks that use them.
    Raises ``CheckError`` with the report as text, unless ``raise_on_failure`` is off, and
    ``BadOption`` for numbers that would check nothing.
    """
    checker = Checker(env, problems=problems, hostile=hostile, seconds=seconds, **arguments)
    report = CheckReport(checker.title, tuple(checker.run(name) for name in CHECKS))
    if raise_on_failure and not report.passed:
        raise CheckError(str(report))
    return report


class Checker:
    """An environment and its checks, made one at a time by their names in ``CHECKS``."""

    def __init__(
        self,
        env: ReasoningEnv | str,
        *,
        problems: int = 3,
        hostile: int = 10_000,
        seconds: float = 20.0,
        **arguments: Any,
    ) -> None:
        """As for ``check_env``."""
        problems = read_count("problems", problems, 1)
        hostile = read_count("hostile", hostile, 0)
        seconds = check_seconds("seconds", seconds)
        offline = offline_arguments(env) if isinstance(env, str) and not arguments else {}
        env = make(env, **{**offline, **arguments}) if isinstance(env, str) else env
        bare = getattr(env, "unwrapped", None)
        if not isinstance(bare, ReasoningEnv):
            raise BadOption(f"check_env checks ReasoningEnv objects; got {type(env).__name__}")
        self.trial = Trial(bare, hostile=hostile, seconds=seconds)
        self.title = repr(bare)
        if offline:
            made = ", ".join(f"{key}={value!r}" for key, value in offline.items())
            self.title += f", made with its offline_kwargs: {made}"
        self._problems = problems
        self._drawn: CheckResult | None = None
        self._varies = False
        self._raised: dict[tuple[object, ...], str] = {}

    def run(self, name: str) -> CheckResult:
        """The result of the check of that name."""
        if self._drawn is None:  # all other checks need the problems
            self._drawn = _result(DRAWS, lambda: interface.check_draws(self.trial, self._problems))
        if name == DRAWS:
            return self._drawn
        if self._varies and name in _COMPARING:
            return CheckResult(name, notes=(_MEANINGLESS,), skipped=True)
        result = _result(name, lambda: CHECKS[name](self.trial))
        differ = any(finding.expected != _NO_EXCEPTION for finding in result.findings)
        self._varies |= name == REPEATS and differ
        return self._not_again(result)

    def _not_again(self, result: CheckResult) -> CheckResult:
        """The result, or a skip if its only finding is an exception that was found before."""
        for finding in result.findings:
            if finding.expected != _NO_EXCEPTION:
                return result
            key = (*finding.mistake, finding.where)
            first = self._raised.setdefault(key, result.name)
            if first != result.name:
                notes = (*result.notes, f"not made: the same exception as in {first!r}")
                return CheckResult(result.name, notes=notes, skipped=True)
        return result

    def limit_s(self, name: str) -> float | None:
        """How long the check of that name may take; None for no bound."""
        return robustness.longest_s(self.trial) if name in HOSTILE else None


def _each(check: Callable[[Trial, str], Iterator[Any]]) -> Callable[[Trial], Found]:
    return lambda trial: _on(trial.problems, check, trial)


def _with_expert(check: Callable[[Trial, str], Iterator[Any]]) -> Callable[[Trial], Found]:
    def checked(trial: Trial) -> Found:
        solved = [each for each in trial.problems if trial.problem(each).trajectories]
        if trial.problems and not solved:
            yield Note("the problems drawn have no expert", skipped=True)
            return
        if len(solved) < len(trial.problems):
            yield Note(f"{len(solved)} of {len(trial.problems)} problems drawn have an expert")
        yield from _on(solved, check, trial)

    return checked


def _first(check: Callable[[Trial, str], Iterator[Any]]) -> Callable[[Trial], Found]:
    return lambda trial: _on(trial.problems[:1], check, trial)


def _on(problems: list[str], check: Callable[[Trial, str], Iterator[Any]], trial: Trial) -> Found:
    if not problems:
        yield Note("no problem could be drawn", skipped=True)
    for problem_id in problems:
        yield from check(trial, problem_id)


DRAWS = "problems are drawn"
REPEATS = "a seed repeats the episode"
_NO_EXCEPTION = "no exception"
_MEANINGLESS = f"not made: means nothing before {REPEATS!r} passes"
HOSTILE = ("the verifier ends at its deadline", "hostile text breaks nothing")
CHECKS: dict[str, Callable[[Trial], Iterable[Finding | Note]]] = {
    DRAWS: lambda trial: (),  # made by Checker, before any other
    REPEATS: determinism.check_seeds,
    "Gymnasium's own check": interface.check_gymnasium,
    "the expert gets full marks, step by step (srl)": _with_expert(rewards.check_expert_srl),
    "the expert gets full marks at the end (rlvr)": _with_expert(rewards.check_expert_rlvr),
    "the expert gets full marks in the other modes": _with_expert(rewards.check_expert_other),
    "the expert's whole solution is correct": _with_expert(rewards.check_expert_solution),
    "an empty answer gets nothing": _each(rewards.check_empty),
    "a shuffled answer gets less": _with_expert(rewards.check_shuffled),
    "an echo of the prompt gains nothing": _each(rewards.check_echo),
    "rewards stay in their range": _each(rewards.check_ranges),
    "nothing leaks": lambda trial: (
        *_each(leaks.check_leaks)(trial),
        *leaks.check_answers(trial),
    ),
    "a prefix equals its replay": _each(determinism.check_prefix),
    "modes leave the world alone": _each(determinism.check_modes),
    "global generators are left alone": determinism.check_global_state,
    "snapshots go back": _each(determinism.check_snapshots),
    "splits share no problem": interface.check_splits,
    "infos can be stored": _each(interface.check_infos),
    "repr is short": interface.check_repr,
    HOSTILE[0]: _first(robustness.check_deadline),
    HOSTILE[1]: _first(robustness.check_hostile),
}
_COMPARING = {
    name
    for name in CHECKS
    if name.startswith(("Gymnasium", "the expert", "a shuffled", "a prefix", "modes", "snapshots"))
}
"""Checks that compare one episode with another."""


def _result(name: str, check: Callable[[], Iterable[Finding | Note]]) -> CheckResult:
    """The result of one check, with one finding for each mistake."""
    found: list[Finding | Note] = []
    try:
        found += check()
    except Exception as error:  # noqa: BLE001  # the boundary to the author's code
        found.append(
            Finding(
                f"{type(error).__name__}: {error}",
                _NO_EXCEPTION,
                "run the same calls by hand to see where it comes from",
                line_in(error),
            )
        )
    notes = dict.fromkeys(item for item in found if isinstance(item, Note))
    return CheckResult(
        name,
        one_per_mistake(item for item in found if isinstance(item, Finding)),
        tuple(note.text for note in notes),
        any(note.skipped for note in notes),
    )

"""The verdicts and rewards of steps, for one environment or in batches for thousands.

``finished`` is the second half of a batch of steps. It makes a batch of verdicts for each verifier
and a batch of rewards for each reward mode; then each environment returns its result. A ``Failure``
is caught here; every other exception is a bug and passes through.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar, cast

from srl_env.episode.guards import read_verdict
from srl_env.episode.state import StepResult
from srl_env.errors import BadOption, Failure
from srl_env.problem import Problem
from srl_env.rewards.record import StepRecord, StepReward
from srl_env.rewards.registry import RewardMode, score_all
from srl_env.text.format import ParsedStep
from srl_env.text.unicode import all_utf8_safe
from srl_env.verifiers.protocol import Verdict, Verifier
from srl_env.verifiers.responsibility import (
    POLICY_FAULT,
    VERIFIER_FAILURES,
    PolicyFault,
    blamed,
    check_judge,
    check_reference,
    fault_verdict,
    tried_twice,
)

Rewarded: TypeAlias = tuple[StepRecord, StepReward]
T = TypeVar("T")
SLOW_WORLDS_AT_ONCE = 32


class Steppable(Protocol):
    """The part of ``ReasoningEnv`` that this module needs."""

    slow_world: ClassVar[bool]
    verifier: Verifier

    @property
    def plain_judge(self) -> bool: ...
    @property
    def problem(self) -> Problem: ...
    @property
    def reward_mode(self) -> RewardMode: ...
    def judge(self, actions: Sequence[str]) -> Verdict: ...
    def settle(self, record: StepRecord, reward: StepReward) -> StepResult: ...
    def fail(self, failure: Failure) -> StepResult: ...


def finished(envs: Sequence[Steppable], moved: Sequence[StepRecord | Failure]) -> list[StepResult]:
    """What ``step`` returns for each environment whose world has moved, in order."""
    rewarded = _rewarded(envs, _judged(envs, moved))
    return [
        env.fail(one) if isinstance(one, Failure) else env.settle(*one)
        for env, one in zip(envs, rewarded, strict=True)
    ]


def overlapped(envs: Sequence[Steppable], calls: Sequence[Callable[[], T]]) -> list[T | Failure]:
    """The result or ``Failure`` of each call; those of slow worlds run in parallel threads."""
    slow = [i for i, env in enumerate(envs) if env.slow_world]
    if len(envs) == 1 or not slow:
        return [attempted(call) for call in calls]
    threads = _threads(os.getpid())
    waiting = {i: threads.submit(attempted, calls[i]) for i in slow}
    here = {i: attempted(call) for i, call in enumerate(calls) if i not in waiting}
    return [waiting[i].result() if i in waiting else here[i] for i in range(len(calls))]


def attempted(call: Callable[[], T]) -> T | Failure:
    """What the call returns, or the ``Failure`` that it raises."""
    try:
        return call()
    except Failure as failure:
        return failure


@cache
def _threads(process_id: int) -> ThreadPoolExecutor:
    """The threads of this process; a fork makes its own."""
    return ThreadPoolExecutor(SLOW_WORLDS_AT_ONCE, thread_name_prefix="srl-env-world")


# -- verdicts ----------------------------------------------------------------------------------


def _judged(
    envs: Sequence[Steppable], moved: Sequence[StepRecord | Failure]
) -> list[StepRecord | Failure]:
    judged = list(moved)
    ended = [
        (i, envs[i], record)
        for i, record in enumerate(moved)
        if not isinstance(record, Failure) and record.to_judge
    ]
    for group in _groups(ended, lambda one: id(one[1].verifier) if one[1].plain_judge else 0):
        members = [ended[i] for i in group]
        pairs = [(env, record) for _, env, record in members]
        if len(pairs) > 1 and pairs[0][0].plain_judge:
            verdicts = _verify_batch(pairs)
        else:
            verdicts = overlapped([env for env, _ in pairs], [partial(judge, *p) for p in pairs])
        for (i, _, record), verdict in zip(members, verdicts, strict=True):
            if isinstance(verdict, Failure):
                judged[i] = verdict
            else:
                record.verdict = verdict
    return judged


def judge(env: Steppable, record: StepRecord) -> Verdict:
    """The verdict of ``env.judge``; see ``srl_env.verifiers.responsibility`` for its failures."""
    actions, plain = record.judged_actions, env.plain_judge
    control: Callable[[], object] = partial(check_judge, env.judge, record.problem)
    if plain:
        control = partial(check_reference, env.verifier, record.problem)
    attempt = partial(env.judge, actions)
    try:
        return read_verdict(env, tried_twice(attempt, control, kinds=VERIFIER_FAILURES))
    except PolicyFault as fault:
        return fault_verdict(str(fault), env.verifier.extract(actions[-1]) if plain else None)


def _verify_batch(pairs: Sequence[tuple[Steppable, StepRecord]]) -> list[Verdict | Failure]:
    """One verdict each; those that a verifier fails at are repeated, in a batch of their own."""
    verifier = pairs[0][0].verifier
    items = [(record.problem, record.judged_actions) for _, record in pairs]
    found = _verify_many(verifier, items)
    again = [i for i, one in enumerate(found) if isinstance(one, VERIFIER_FAILURES)]
    for i, one in zip(again, _verify_many(verifier, [items[i] for i in again]), strict=True):
        found[i] = one
        if isinstance(one, VERIFIER_FAILURES):
            found[i] = attempted(partial(_fault, verifier, *items[i], one))
    return [
        one if isinstance(one, Failure) else read_verdict(env, one)
        for (env, _), one in zip(pairs, found, strict=True)
    ]


def _verify_many(
    verifier: Verifier, items: Sequence[tuple[Problem, Sequence[str]]]
) -> list[Verdict | Failure]:
    """One verdict each; if the batch fails, the items are verified one by one."""
    if not items:
        return []
    found = attempted(partial(verifier.verify_many, items))
    if isinstance(found, Failure):
        return [attempted(partial(verifier.verify, *item)) for item in items]
    if len(found) != len(items):
        raise BadOption(
            f"{type(verifier).__name__}.verify_many() must return one verdict for each item; got "
            f"{len(found)} for {len(items)}"
        )
    return list(found)


def _fault(
    verifier: Verifier, problem: Problem, actions: Sequence[str], failure: Failure
) -> Verdict:
    fault = blamed(failure, partial(check_reference, verifier, problem))
    return fault_verdict(str(fault), verifier.extract(actions[-1]))


def verdict_info(record: StepRecord) -> dict[str, Any] | None:
    """``info["verdict"]``; None if the judged steps are the expert's."""
    verdict = record.verdict
    if verdict is None or not (record.own or POLICY_FAULT in verdict.details):
        return None
    return cast(dict[str, Any], all_utf8_safe(verdict.to_info()))


# -- rewards -----------------------------------------------------------------------------------


def _rewarded(
    envs: Sequence[Steppable], records: Sequence[StepRecord | Failure]
) -> list[Rewarded | Failure]:
    """The records with their rewards, in batches by mode; a ``Failure`` stays what it is."""
    rewarded: list[Any] = list(records)
    alive = [i for i, record in enumerate(records) if not isinstance(record, Failure)]
    for group in _groups(alive, lambda i: id(envs[i].reward_mode)):
        members = [alive[j] for j in group]
        found = _reward_batch(envs[members[0]].reward_mode, [rewarded[i] for i in members])
        for i, one in zip(members, found, strict=True):
            rewarded[i] = one
    return rewarded


def _reward_batch(mode: RewardMode, records: list[StepRecord]) -> list[Rewarded | Failure]:
    """One reward each; if the batch fails, the records are scored one by one."""
    if len(records) > 1:
        rewards = attempted(partial(score_all, mode, records))
        if not isinstance(rewards, Failure):
            return list(zip(records, rewards, strict=True))
    return [attempted(partial(reward, mode, record)) for record in records]


def reward(mode: RewardMode, record: StepRecord) -> Rewarded:
    """A record with its reward.

    If the mode fails at it twice, but not at an empty, wrong step, the policy is responsible. Then
    the record and the reward are those of the wrong step.
    """
    attempt = partial(score_all, mode, [record])
    try:
        return record, tried_twice(attempt, lambda: score_all(mode, [_wrong(record)]))[0]
    except PolicyFault as fault:
        wrong = _wrong(record)
        if wrong.verdict is not None:
            wrong = replace(wrong, verdict=fault_verdict(str(fault), wrong.verdict.answer))
        return wrong, score_all(mode, [wrong])[0]


def _wrong(record: StepRecord) -> StepRecord:
    verdict = record.verdict
    return replace(
        record,
        completion="",
        parsed=ParsedStep(None, "", False, "the reward mode failed at this completion"),
        verdict=None if verdict is None else Verdict(False, verdict.answer),
        format_ok_so_far=False,
    )


def _groups(items: Sequence[T], key: Callable[[T], int]) -> Iterable[list[int]]:
    """The indices of items that have the same key, in order of first appearance."""
    groups: dict[int, list[int]] = {}
    for i, item in enumerate(items):
        groups.setdefault(key(item), []).append(i)
    return groups.values()

"""What a step comes to: its verdict, its reward, and what ``step`` returns.

The second half of a step, for one environment or for thousands: the episodes that ended are
judged in batches by verifier, all steps are scored in batches by reward mode, and each
environment hands out its result. This is also the one boundary where a ``Failure`` is caught;
every other exception is a bug and goes through.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar, cast

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
    check_judge,
    check_reference,
    failed_twice,
    fault_verdict,
    tried_twice,
)

Scored: TypeAlias = tuple[StepRecord, StepReward]
T = TypeVar("T")


class Steppable(Protocol):
    """What the second half of a step needs of an environment: see ``ReasoningEnv``."""

    slow_world: ClassVar[bool]
    verifier: Verifier

    @property
    def plain_judge(self) -> bool: ...
    @property
    def problem(self) -> Problem: ...
    @property
    def reward_mode(self) -> RewardMode: ...
    def judge(self, actions: Sequence[str]) -> Verdict: ...
    def settle(self, record: StepRecord, reward: StepReward | Failure) -> StepResult: ...
    def fail(self, failure: Failure) -> StepResult: ...


def finished(envs: Sequence[Steppable], moved: Sequence[StepRecord | Failure]) -> list[StepResult]:
    """What ``step`` returns for each environment whose world has moved, in order."""
    records = _judged(envs, moved)
    return [
        env.fail(scored) if isinstance(scored, Failure) else env.settle(*scored)
        for env, scored in zip(envs, _scored(envs, records), strict=True)
    ]


SLOW_WORLDS_AT_ONCE = 32


def overlapped(envs: Sequence[Steppable], calls: Sequence[Callable[[], T]]) -> list[T | Failure]:
    """The result or ``Failure`` of each call; those of slow worlds run side by side."""
    waiting = {}
    if len(envs) > 1:
        waiting = {
            i: _threads(os.getpid()).submit(attempted, calls[i])
            for i, env in enumerate(envs)
            if env.slow_world
        }
    here = {i: attempted(call) for i, call in enumerate(calls) if i not in waiting}
    return [waiting[i].result() if i in waiting else here[i] for i in range(len(calls))]


def attempted(call: Callable[[], T]) -> T | Failure:
    """The boundary: a ``Failure`` that was raised becomes one that is returned."""
    try:
        return call()
    except Failure as failure:
        return failure


@cache
def _threads(process_id: int) -> ThreadPoolExecutor:
    """The threads of this process; one that was forked makes its own."""
    return ThreadPoolExecutor(SLOW_WORLDS_AT_ONCE, thread_name_prefix="srl-env-world")


def _judged(
    envs: Sequence[Steppable], moved: Sequence[StepRecord | Failure]
) -> list[StepRecord | Failure]:
    """The records, with its verdict on each that ended; a ``Failure`` where there is none."""
    judged = list(moved)
    ended = [
        (i, record)
        for i, record in enumerate(moved)
        if not isinstance(record, Failure) and record.to_judge
    ]
    verdicts = _verdicts([(envs[i], record) for i, record in ended]) if ended else []
    for (i, record), verdict in zip(ended, verdicts, strict=True):
        if isinstance(verdict, Failure):
            judged[i] = verdict
        else:
            judged[i] = replace(record, verdict=checked_verdict(envs[i], verdict))
    return judged


def checked_verdict(env: Steppable, verdict: object) -> Verdict:
    """The verdict; ``BadOption`` for anything else that a verifier or ``judge`` returned."""
    if isinstance(verdict, Verdict):
        return verdict
    judge = f"{type(env.verifier).__name__}.verify()" if env.plain_judge else "judge()"
    raise BadOption(
        f"{judge} of {type(env).__name__} returned {type(verdict).__name__} {verdict!r:.80} for "
        f"problem {env.problem.id!r}; it returns a srl_env.Verdict, e.g. Verdict(correct=True)"
    )


def _verdicts(ended: Sequence[tuple[Steppable, StepRecord]]) -> list[Verdict | Failure]:
    """One verdict each: in batches by verifier, or by the environment's own ``judge``."""
    verdicts: dict[int, Verdict | Failure] = {}
    for group in _groups(ended, lambda pair: id(pair[0].verifier) if pair[0].plain_judge else 0):
        members = [ended[i] for i in group]
        if len(group) > 1 and members[0][0].plain_judge:
            found = _verify_batch(members)
        else:
            calls = [partial(judge, env, record) for env, record in members]
            found = overlapped([env for env, _ in members], calls)
        verdicts.update(zip(group, found, strict=True))
    return [verdicts[i] for i in range(len(ended))]


def judge(env: Steppable, record: StepRecord) -> Verdict:
    """The verdict of ``env.judge``; what a verifier fails at twice may be the policy's fault."""
    actions = record.judged_actions
    attempt = partial(env.judge, actions)
    try:
        return attempt()
    except VERIFIER_FAILURES:
        found = attempted(attempt)
    if isinstance(found, VERIFIER_FAILURES) and env.plain_judge:
        found = _blamed(env.verifier, record.problem, actions, found)
    elif isinstance(found, VERIFIER_FAILURES):
        control = partial(check_judge, env.judge, record.problem)
        found = attempted(partial(failed_twice, found, control))
    if isinstance(found, Failure):
        raise found
    return found


def _verify_batch(
    members: Sequence[tuple[Steppable, StepRecord]],
) -> list[Verdict | Failure]:
    """One verdict each; those that a verifier fails at are repeated, in a batch of their own."""
    verifier = members[0][0].verifier
    items = [(record.problem, record.judged_actions) for _, record in members]
    found = _verify_many(verifier, items)
    again = [i for i, one in enumerate(found) if isinstance(one, VERIFIER_FAILURES)]
    for i, one in zip(again, _verify_many(verifier, [items[i] for i in again]), strict=True):
        found[i] = _blamed(verifier, *items[i], one) if isinstance(one, VERIFIER_FAILURES) else one
    return found


def _verify_many(
    verifier: Verifier, items: Sequence[tuple[Problem, Sequence[str]]]
) -> list[Verdict | Failure]:
    """One for each; where the batch fails, each item stands for itself."""
    if not items:
        return []
    found = attempted(partial(verifier.verify_many, items))
    if isinstance(found, Failure):
        return [attempted(partial(verifier.verify, *item)) for item in items]
    if len(found) != len(items):
        raise BadOption(
            f"{type(verifier).__name__}.verify_many() gave {len(found)} verdicts for {len(items)} "
            "items; it gives one for each"
        )
    return list(found)


def _blamed(
    verifier: Verifier, problem: Problem, actions: Sequence[str], failure: Failure
) -> Verdict | Failure:
    """The verdict on actions that a verifier failed at twice, or the failure."""
    control = partial(check_reference, verifier, problem)
    answer = verifier.extract(actions[-1])
    return attempted(partial(failed_twice, failure, control, answer=answer))


def _scored(
    envs: Sequence[Steppable], records: Sequence[StepRecord | Failure]
) -> list[Scored | Failure]:
    """The records with their rewards, made in batches by mode; a ``Failure`` stays what it is."""
    scored: list[Any] = list(records)
    for group in _groups(envs, lambda env: id(env.reward_mode)):
        alive = [i for i in group if not isinstance(records[i], Failure)]
        found = _score_batch(envs[group[0]].reward_mode, [scored[i] for i in alive])
        for i, one in zip(alive, found, strict=True):
            scored[i] = one
    return scored


def _score_batch(mode: RewardMode, records: list[StepRecord]) -> list[Scored | Failure]:
    """One reward each; where the batch fails, each record stands for itself."""
    if len(records) > 1:
        scores = attempted(partial(score_all, mode, records))
        if not isinstance(scores, Failure):
            return list(zip(records, scores, strict=True))
    return [attempted(partial(score, mode, record)) for record in records]


def score(mode: RewardMode, record: StepRecord) -> Scored:
    """A record with its reward.

    Where the mode fails at it twice, and not at a wrong step without a text, the policy is
    responsible: the record and the reward are then those of that step.
    """
    try:
        return record, score_all(mode, [record])[0]
    except Failure:
        wrong = _wrong(record)
    try:
        rewards = tried_twice(partial(score_all, mode, [record]), partial(score_all, mode, [wrong]))
        return record, rewards[0]
    except PolicyFault as fault:
        if wrong.verdict is not None:
            wrong = replace(wrong, verdict=fault_verdict(str(fault), wrong.verdict.answer))
        return wrong, score_all(mode, [wrong])[0]


def _wrong(record: StepRecord) -> StepRecord:
    """The record of a step that says nothing and is wrong."""
    verdict = record.verdict
    return replace(
        record,
        completion="",
        parsed=ParsedStep(None, "", False, "the reward mode failed at what was written"),
        verdict=None if verdict is None else Verdict(False, verdict.answer),
        format_ok_so_far=False,
    )


def _groups(items: Sequence[T], key: Callable[[T], int]) -> Iterable[list[int]]:
    """The indices of items that have the same key, in order of first appearance."""
    if len(items) == 1:
        return [[0]]
    groups: dict[int, list[int]] = {}
    for i, item in enumerate(items):
        groups.setdefault(key(item), []).append(i)
    return groups.values()


def verdict_info(record: StepRecord) -> dict[str, Any] | None:
    """What ``info["verdict"]`` says: None where it would be on the expert's steps."""
    verdict = record.verdict
    if verdict is None or not (record.own or POLICY_FAULT in verdict.details):
        return None
    return cast(dict[str, Any], all_utf8_safe(verdict.to_info()))

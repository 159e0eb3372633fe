"""Many environments stepped and reset together; slow worlds wait in parallel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from srl_env.episode.scoring import finished, overlapped
from srl_env.errors import Failure

if TYPE_CHECKING:
    from srl_env.environment import ReasoningEnv
    from srl_env.episode.state import ResetResult, StepResult


def step_many(envs: Sequence[ReasoningEnv], actions: Sequence[str]) -> list[StepResult]:
    """What each environment's ``step`` returns for its action, in order.

    Raises ``ResetNeeded`` or ``BadOption`` before any environment has moved.
    """
    for env, action in zip(envs, actions, strict=True):
        env.expects(action)
    moves = [partial(env.advance, action) for env, action in zip(envs, actions, strict=True)]
    return finished(envs, overlapped(envs, moves))


def reset_many(
    envs: Sequence[ReasoningEnv],
    seeds: Sequence[int | None],
    options: Sequence[Mapping[str, Any] | None],
) -> list[ResetResult | Failure]:
    """What each environment's ``reset`` returns, or the ``Failure`` it raised, in order.

    Those with the same seed are copies, numbered by the option ``copy`` unless it is given.
    """
    calls = [
        partial(env.reset, seed=seed, options=option)
        for env, seed, option in zip(envs, seeds, _numbered(seeds, options), strict=True)
    ]
    return overlapped(envs, calls)


def _numbered(
    seeds: Sequence[int | None], options: Sequence[Mapping[str, Any] | None]
) -> Iterable[Mapping[str, Any] | None]:
    """The options; those with a seed and without a copy number get one."""
    seen = Counter[int]()
    for seed, option in zip(seeds, options, strict=True):
        if seed is None or not isinstance(option, Mapping | None) or "copy" in (option or {}):
            yield option
        else:
            yield {**(option or {}), "copy": seen[seed]}
            seen[seed] += 1

"""Reward modes by name: how they are registered, found, and made of functions."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from srl_env.errors import BadOption, UnknownName
from srl_env.rewards.record import StepReward

if TYPE_CHECKING:
    from srl_env.rewards.record import Continuation, Granularity, StepRecord


@runtime_checkable
class RewardMode(Protocol):
    """How steps are rewarded. Scoring is batched and must not depend on the order of records.

    A mode may state a ``reward_range``, the (least, greatest) reward of a step. ``check_env``
    checks that its rewards stay in it. A mode that never reads the verdict may state
    ``needs_verifier = False``. Then problems need no answer while the expert's steps are the
    history, and no verdict is made on these.
    """

    @property
    def name(self) -> str:
        """The name by which the mode is chosen and logged."""

    @property
    def default_continuation(self) -> Continuation:
        """Whose action enters the history if the episode does not say."""

    @property
    def default_granularity(self) -> Granularity:
        """What one action is if the episode does not say."""

    @property
    def needs_expert(self) -> bool:
        """Whether a problem without an expert trajectory is an error."""

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """One reward for each record, in order."""


_REGISTRY: dict[str, RewardMode] = {}


def get_reward_mode(name: str) -> RewardMode:
    """The registered mode of that name; ``UnknownName`` with a suggestion if there is none."""
    try:
        return _REGISTRY[name]
    except KeyError:
        raise UnknownName("reward mode", name, _REGISTRY) from None


def needs_verifier(mode: RewardMode) -> bool:
    """Whether the mode reads the verdict; True unless it states otherwise."""
    return bool(getattr(mode, "needs_verifier", True))


def reward_modes() -> list[str]:
    """The names of the registered modes, sorted."""
    return sorted(_REGISTRY)


def register_reward_mode(mode: RewardMode) -> RewardMode:
    """Registers ``mode`` under its name and returns it.

    A function that is defined again, as when a notebook cell runs twice, replaces itself.
    Raises ``BadOption`` if the name is taken or ``mode`` is not a reward mode.
    """
    if isinstance(mode, type) or not isinstance(mode, RewardMode):
        raise BadOption(
            "register_reward_mode() takes a RewardMode object, with name, score() and its "
            f"defaults; got {mode!r:.80}. Fix: decorate a function with @reward_mode('name')"
        )
    _check_name(mode.name)
    known = _REGISTRY.get(mode.name, mode)
    if known != mode and _origin(known) != _origin(mode):
        raise BadOption(f"a reward mode named {mode.name!r} exists already; choose another name")
    _REGISTRY[mode.name] = mode
    return mode


ASYNC_AT_ONCE = 64
_is_async = cache(inspect.iscoroutinefunction)


@dataclass(frozen=True, slots=True)
class FunctionMode:
    """A reward mode made of one function of one record.

    A registered one pickles to its name and its function's module, as the decorator leaves no other
    name for the function.
    """

    name: str
    function: Callable[[StepRecord], Any]
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False
    reward_range: tuple[float, float] | None = None
    needs_verifier: bool = True

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """The function's value for each record; a bare number becomes the part ``name``.

        Calls of a coroutine function run side by side, at most ``ASYNC_AT_ONCE`` at a time.
        """
        if _is_async(self.function):
            results = _side_by_side(self.function, steps)
        else:
            results = [self.function(step) for step in steps]
        return [
            result if isinstance(result, StepReward) else self._reward(result, step)
            for result, step in zip(results, steps, strict=True)
        ]

    def _reward(self, result: Any, step: StepRecord) -> StepReward:
        value = _number(result)
        if value is None:
            raise BadOption(
                f"reward mode {self.name!r} must return a number or a StepReward; got "
                f"{type(result).__name__} {result!r} from {self.function.__qualname__}() for "
                f"problem {step.problem.id!r}"
            )
        return StepReward(value, {self.name: value, "format": float(step.parsed.ok)})

    def __reduce__(self) -> tuple[Any, ...]:
        if _REGISTRY.get(self.name) is self:
            return _registered_in, (self.function.__module__, self.name)
        return FunctionMode, tuple(getattr(self, field.name) for field in fields(self))


def _side_by_side(function: Callable[[StepRecord], Any], steps: Sequence[StepRecord]) -> list[Any]:
    """The results, in order, from another thread: the caller's may have an event loop."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    async def all_results() -> list[Any]:
        slots = asyncio.Semaphore(ASYNC_AT_ONCE)

        async def one(step: StepRecord) -> Any:
            async with slots:
                return await function(step)

        return await asyncio.gather(*map(one, steps))

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, all_results()).result()


def _number(value: Any) -> float | None:
    if isinstance(value, str | bytes):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _registered_in(module: str, name: str) -> RewardMode:
    """The mode of that name, which importing the module registers."""
    if name not in _REGISTRY:
        importlib.import_module(module)
    return get_reward_mode(name)


def _origin(mode: RewardMode) -> tuple[object, ...]:
    """Where the mode's function is defined, or the mode itself."""
    if not isinstance(mode, FunctionMode):
        return (mode,)
    return mode.function.__module__, mode.function.__qualname__


def reward_mode(
    name: str,
    *,
    default_continuation: Continuation = "policy",
    default_granularity: Granularity = "step",
    needs_expert: bool = False,
    reward_range: tuple[float, float] | None = None,
    needs_verifier: bool = True,
) -> Callable[[Callable[[StepRecord], float | StepReward]], FunctionMode]:
    """Decorator: registers a function of a record as the reward mode ``name``::

    @reward_mode("short", default_continuation="policy")
    def short(step: StepRecord) -> float:
        return float(step.ended and step.verdict.correct) - 0.001 * len(step.parsed.action)

    The function may be ``async``: it can wait for a server, and many steps wait side by side.
    Raises ``BadOption`` for an empty or taken name, and for anything that is not a function.
    """
    _check_name(name)

    def register(function: Callable[[StepRecord], float | StepReward]) -> FunctionMode:
        if not callable(function):
            raise BadOption(
                f"reward_mode({name!r}) decorates a function of a StepRecord; got {function!r:.80}"
            )
        mode = FunctionMode(
            name,
            function,
            default_continuation,
            default_granularity,
            needs_expert,
            reward_range,
            needs_verifier,
        )
        register_reward_mode(mode)
        return mode

    return register


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise BadOption(
            "a reward mode needs a name, by which it is chosen, as in @reward_mode('short'); got "
            f"{name!r:.80}"
        )


def score_all(mode: RewardMode, records: Sequence[StepRecord]) -> list[StepReward]:
    """One finite reward for each record; ``BadOption`` if the mode returns anything else."""
    rewards = mode.score(records) if records else []
    finite = 0
    for reward in rewards:
        if not isinstance(reward, StepReward):
            raise BadOption(
                f"score() of reward mode {mode.name!r} must return StepReward objects; got "
                f"{type(reward).__name__} {reward!r:.80}"
            )
        finite += math.isfinite(reward.value)
    if not finite == len(rewards) == len(records):
        raise BadOption(
            f"reward mode {mode.name!r} must give one finite reward for each of "
            f"{len(records)} steps; got {[reward.value for reward in rewards][:10]}"
        )
    return rewards

"""Reward modes by name: registered, found, and made of functions."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from srl_env.errors import BadOption, UnknownName
from srl_env.rewards.record import StepReward

if TYPE_CHECKING:
    from srl_env.rewards.record import Continuation, Granularity, StepRecord


@runtime_checkable
class RewardMode(Protocol):
    """How steps are paid. Scoring is batched and must not depend on the order of records.

    A mode may state a ``reward_range``, the (least, greatest) reward of a step; ``check_env``
    then holds it to that.
    """

    @property
    def name(self) -> str:
        """The name it is chosen by and logged under."""
        ...

    @property
    def default_continuation(self) -> Continuation:
        """Whose action enters the history, where the episode does not say."""
        ...

    @property
    def default_granularity(self) -> Granularity:
        """What one action is, where the episode does not say."""
        ...

    @property
    def needs_expert(self) -> bool:
        """Whether a problem without expert trajectory is an error."""
        ...

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """One reward for each record, in order."""
        ...


_REGISTRY: dict[str, RewardMode] = {}


def get_reward_mode(name: str) -> RewardMode:
    """The registered mode of that name; ``UnknownName`` with a suggestion if there is none."""
    try:
        return _REGISTRY[name]
    except KeyError:
        raise UnknownName("reward mode", name, _REGISTRY) from None


def reward_modes() -> list[str]:
    """The names of the registered modes, sorted."""
    return sorted(_REGISTRY)


def register_reward_mode(mode: RewardMode) -> RewardMode:
    """Makes ``mode`` known by its name and returns it; ``BadOption`` if the name is taken, and
    for what is no mode.

    A function that is defined again, as when a notebook's cell is run twice, replaces itself.
    """
    if isinstance(mode, type) or not isinstance(mode, RewardMode):
        given = f"the class {mode.__name__}" if isinstance(mode, type) else repr(mode)[:80]
        raise BadOption(
            "register_reward_mode() takes a RewardMode object, with name, score() and its "
            f"defaults; got {given}. The decorator reward_mode makes one of a function"
        )
    _check_name(mode.name)
    known = _REGISTRY.get(mode.name, mode)
    if known != mode and _origin(known) != _origin(mode):
        raise BadOption(f"a reward mode named {mode.name!r} exists already; choose another name")
    _REGISTRY[mode.name] = mode
    return mode


@dataclass(frozen=True, slots=True)
class FunctionMode:
    """A reward mode made of one function of one record.

    Pickles to its name and its function's module, where it is registered: the decorator leaves
    no other name for the function.
    """

    name: str
    function: Callable[[StepRecord], float | StepReward]
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False
    reward_range: tuple[float, float] | None = None

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """The function's value for each record; a bare number becomes part ``name``."""
        return [self._reward(self.function(step), step) for step in steps]

    def _reward(self, result: float | StepReward, step: StepRecord) -> StepReward:
        if isinstance(result, StepReward):
            return result
        value = _number(result)
        if value is None:
            raise BadOption(
                f"reward mode {self.name!r} returned {type(result).__name__} {result!r} for a "
                f"step of problem {step.problem.id!r}; its function "
                f"{self.function.__qualname__}() returns a number or a StepReward"
            )
        return StepReward(value, {self.name: value, "format": float(step.parsed.ok)})

    def __reduce__(self) -> tuple[Any, ...]:
        if _REGISTRY.get(self.name) is self:
            return _registered_in, (self.function.__module__, self.name)
        return FunctionMode, (
            self.name,
            self.function,
            self.default_continuation,
            self.default_granularity,
            self.needs_expert,
            self.reward_range,
        )


def _number(value: object) -> float | None:
    """A number of any kind as a float; None for what is no number."""
    if isinstance(value, str | bytes):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _registered_in(module: str, name: str) -> RewardMode:
    """The mode of that name, which importing the module registers."""
    if name not in _REGISTRY:
        importlib.import_module(module)
    return get_reward_mode(name)


def _origin(mode: RewardMode) -> tuple[object, ...]:
    """Where a mode's function is defined; the mode itself where it is no function's."""
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
) -> Callable[[Callable[[StepRecord], float | StepReward]], FunctionMode]:
    """Decorator: registers a function of a record as the reward mode ``name``::

    @reward_mode("short", default_continuation="policy")
    def short(step: StepRecord) -> float:
        return float(step.ended and step.verdict.correct) - 0.001 * len(step.parsed.action)

    Raises ``BadOption`` for a name that is taken or none, and for what is no function.
    """
    _check_name(name)

    def register(function: Callable[[StepRecord], float | StepReward]) -> FunctionMode:
        if not callable(function):
            raise BadOption(
                f"reward_mode({name!r}) decorates a function of a StepRecord; got {function!r:.80}"
            )
        mode = FunctionMode(
            name, function, default_continuation, default_granularity, needs_expert, reward_range
        )
        register_reward_mode(mode)
        return mode

    return register


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise BadOption(
            "a reward mode has a name, by which it is chosen, as @reward_mode('short'); got "
            f"{name!r:.80}"
        )


def score_all(mode: RewardMode, records: Sequence[StepRecord]) -> list[StepReward]:
    """One finite reward each, or ``BadOption`` for a mode that gives anything else."""
    scores = mode.score(records) if records else []
    if not all(isinstance(score, StepReward) for score in scores):
        raise BadOption(
            f"reward mode {mode.name!r} gave {type(scores[0]).__name__} {scores[0]!r:.80}; "
            "score() gives one StepReward for each step"
        )
    if len(scores) != len(records) or not all(math.isfinite(s.value) for s in scores):
        raise BadOption(
            f"reward mode {mode.name!r} must give one finite reward for each of "
            f"{len(records)} steps; got {[score.value for score in scores][:10]}"
        )
    return scores

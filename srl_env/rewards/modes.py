"""Reward modes: how a step is paid, chosen per episode by name or by object.

A mode only looks at records; it never changes what the environment shows. The
registry maps names to modes; ``reward_mode`` turns a function into one.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from srl_env.errors import BadOption, UnknownName
from srl_env.problem import Problem
from srl_env.rewards.similarity import step_similarity
from srl_env.verifiers.protocol import Verdict

if TYPE_CHECKING:
    from srl_env.text.format import ParsedStep

Continuation = Literal["expert", "policy"]
Granularity = Literal["step", "solution"]
Similarity = Callable[[str, str], float]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """Everything a reward may look at after one step.

    completion: what the policy wrote; parsed: the same, read by the completion format.
    index: the step's number in the whole solution; start_step: how many expert steps
    the episode began with.
    expert_action: what the expert wrote here (the joined rest for granularity
    "solution"); None beyond the expert's end or without an expert.
    expert_actions: the expert's whole trajectory, () without an expert.
    actions: the history before this action, the expert prefix included.
    legal: what the environment's step checker said, None where it has none.
    verdict: on the step that ends the episode, on the history and this action; None before, and
    where ``judged`` is False. Under continuation "expert" the history is the expert's.
    judged: False where the verdict would be on a world that the expert has moved, to which this
    action has added nothing.
    rng: the episode's own stream for random rewards, a new one for each copy of a start; None
    before the episode's end.
    format_ok_so_far: whether every step of the episode, this one included, kept the format.
    similarity: how the environment compares an action with the expert's, in [0, 1].
    """

    problem: Problem
    completion: str
    parsed: ParsedStep
    index: int
    start_step: int
    expert_action: str | None
    expert_actions: tuple[str, ...]
    actions: tuple[str, ...]
    granularity: Granularity
    continuation: Continuation
    terminated: bool
    truncated: bool
    legal: bool | None
    verdict: Verdict | None
    rng: np.random.Generator | None
    format_ok_so_far: bool
    similarity: Similarity = step_similarity
    judged: bool = True

    @property
    def own(self) -> bool:
        """Whether what is judged at the end is the policy's own, after the steps it was given.

        Under continuation "expert" it is where the only action ends the solution.
        """
        return self.continuation == "policy" or (
            self.judged and self.terminated and self.index == self.start_step
        )

    @property
    def to_judge(self) -> bool:
        """Whether a verdict is needed and not there yet."""
        return self.ended and self.judged and self.verdict is None

    @property
    def ended(self) -> bool:
        """Whether this step ended its episode."""
        return self.terminated or self.truncated


@dataclass(frozen=True, slots=True)
class StepReward:
    """A reward and what it is made of; ``parts`` are for logs and are averaged there.

    Common parts: "format" (1.0 where the format was kept, else 0.0), "similarity" (in
    [0, 1], absent where none was measured), "outcome" (1.0 or 0.0, at episode end only).
    """

    value: float
    parts: Mapping[str, float]


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


@dataclass(frozen=True, slots=True)
class SimilarityMode:
    """SRL: each step is paid its similarity to the expert's step, −1 on format failure.

    How they are compared is the environment's affair (``StepRecord.similarity``); a whole
    solution is compared as a text. Beyond the expert's end there is nothing to be similar to: 0.
    Source: SRL, arXiv:2510.25992, section 3.
    """

    name: str = "srl"
    default_continuation: Continuation = "expert"
    default_granularity: Granularity = "step"
    needs_expert: bool = True
    reward_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """In [0, 1] ∪ {−1} for each record."""
        return [_step_reward(s) for s in steps]


@dataclass(frozen=True, slots=True)
class HolisticMode:
    """One similarity for the whole solution, paid at episode end; −1 on any format failure.

    With granularity "step" the actions after the given prefix are joined by line breaks,
    as are the expert's.
    """

    name: str = "holistic"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "solution"
    needs_expert: bool = True
    reward_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """0 before the end, then in [0, 1] ∪ {−1}, for each record."""
        return [_holistic_reward(s) if s.ended else _format_part(s) for s in steps]


@dataclass(frozen=True, slots=True)
class OutcomeMode:
    """RLVR: 0 until the episode ends, then 1 if the verifier says it is right, else 0.

    Under continuation "expert" the expert's steps and the last action are judged together; where
    only the expert's are judged (``StepRecord.judged``), the reward is 0, without an "outcome".
    """

    name: str = "rlvr"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False
    reward_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """0 or 1 for each record."""
        return [_outcome_reward(s) if s.ended else _format_part(s) for s in steps]


@dataclass(frozen=True, slots=True)
class ScoreMode:
    """The verifier's score at episode end, for verifiers that give part marks; 0 before.

    The score is what the verdict's details have as "score"; without one it is the reward of rlvr.
    """

    name: str = "score"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """The score for each record that ends its episode, else 0."""
        return [_score_reward(s) if s.ended else _format_part(s) for s in steps]


@dataclass(frozen=True, slots=True)
class HybridMode:
    """``similarity`` × the reward of srl + ``outcome`` × the reward of rlvr, step by step.

    The similarity is paid on every step and the outcome once, so over an episode of N
    steps the similarities weigh N times as much as the two numbers suggest.
    """

    similarity: float = 0.5
    outcome: float = 0.5
    name: str = "hybrid"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = True

    @property
    def reward_range(self) -> tuple[float, float]:
        """The weighted ends of the ranges of srl and rlvr."""
        ends = [
            (self.similarity * near, self.outcome * right) for near in (-1, 1) for right in (0, 1)
        ]
        sums = [math.fsum(pair) for pair in ends]
        return min(sums), max(sums)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """The weighted sum for each record, with the parts of both."""
        pairs = zip(SimilarityMode().score(steps), OutcomeMode().score(steps), strict=True)
        return [
            StepReward(
                self.similarity * near.value + self.outcome * right.value,
                {**near.parts, **right.parts},
            )
            for near, right in pairs
        ]


@dataclass(frozen=True, slots=True)
class RandomMode:
    """Control: 1 with probability ``p`` at episode end, whatever was done; 0 before.

    Each copy of a start draws a number of its own, also where two write the same.
    Source of the control: Spurious rewards, arXiv:2506.10947.
    """

    p: float = 0.5
    name: str = "random"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False
    reward_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not 0.0 <= self.p <= 1.0:
            raise BadOption(f"p is a probability, between 0 and 1; got {self.p!r}")

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """0 or 1 for each record; draws one number from each ended record's own stream."""
        return [self._draw(s) if s.ended else _format_part(s) for s in steps]

    def _draw(self, step: StepRecord) -> StepReward:
        assert step.rng is not None, "the environment gives each ending record its stream"
        value = float(step.rng.random() < self.p)
        return StepReward(value, {"random": value, "format": float(step.parsed.ok)})


@dataclass(frozen=True, slots=True)
class InverseMode:
    """Control: rlvr turned round, 1 at episode end for a wrong answer; 0 before."""

    name: str = "inverse"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False
    reward_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """0 or 1 for each record; the part "outcome" stays the true one."""
        rewards = OutcomeMode().score(steps)
        return [
            StepReward(1.0 - r.value, r.parts) if s.verdict is not None else r
            for s, r in zip(steps, rewards, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class FormatMode:
    """Control: 1 at episode end if every step kept the format, else 0; 0 before."""

    name: str = "format"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False
    reward_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """0 or 1 for each record."""
        return [
            StepReward(float(s.ended and s.format_ok_so_far), {"format": float(s.parsed.ok)})
            for s in steps
        ]


def _step_reward(step: StepRecord) -> StepReward:
    compare = step.similarity if step.granularity == "step" else step_similarity
    return _similarity_reward(step.parsed.ok, step.parsed.action, step.expert_action, compare)


def _similarity_reward(
    parsed_ok: bool, action: str, expert: str | None, compare: Similarity = step_similarity
) -> StepReward:
    """−1 on format failure, 0 beyond the expert's end, else the similarity."""
    if not parsed_ok:
        return StepReward(-1.0, {"format": 0.0})
    value = 0.0 if expert is None else compare(action, expert)
    if not isinstance(value, float | int | np.floating):
        raise BadOption(
            f"the similarity {getattr(compare, '__qualname__', compare)!r} returned "
            f"{type(value).__name__} {value!r:.60}; it returns a number from 0 to 1"
        )
    return StepReward(value, {"similarity": value, "format": 1.0})


def _holistic_reward(step: StepRecord) -> StepReward:
    if step.granularity == "solution":
        return _similarity_reward(step.format_ok_so_far, step.parsed.action, step.expert_action)
    own = "\n".join((*step.actions[step.start_step :], step.parsed.action))
    expert = "\n".join(step.expert_actions[step.start_step :])
    return _similarity_reward(step.format_ok_so_far, own, expert)


def _outcome_reward(step: StepRecord) -> StepReward:
    if step.verdict is None:
        return _format_part(step)
    value = float(step.verdict.correct)
    return StepReward(value, {"outcome": value, "format": float(step.parsed.ok)})


def _score_reward(step: StepRecord) -> StepReward:
    outcome = _outcome_reward(step)
    if step.verdict is None:
        return outcome
    value = float(step.verdict.details.get("score", outcome.value))
    return StepReward(value, {**outcome.parts, "score": value})


def _format_part(step: StepRecord) -> StepReward:
    """Nothing paid yet."""
    return StepReward(0.0, {"format": float(step.parsed.ok)})


for _mode in (
    SimilarityMode(),
    OutcomeMode(),
    ScoreMode(),
    HybridMode(),
    HolisticMode(),
    RandomMode(),
    InverseMode(),
    FormatMode(),
):
    register_reward_mode(_mode)

"""``srl/GEM-v0``: environments with GEM's interface, which is Gymnasium's over text, as ours.

``srl_env.make("gem:game:GuessTheNumber-v0-hard")`` takes one of GEM's own by its id (package
gem-llm); ``GEMEnv(MyGame)`` wraps any class or function that makes an object with
``reset(seed) -> observation, info`` and
``step(action) -> observation, reward, terminated, truncated, info``.
"""

from __future__ import annotations

import importlib
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, get_args

import numpy as np

from srl_env.data.splits import QUARTERS, split_of
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure, MissingExtra, UnknownName, WorldFailure
from srl_env.problem import Problem
from srl_env.rewards.record import Granularity
from srl_env.seeding import derive_seed
from srl_env.text.prompt import PromptStyle
from srl_env.verifiers import Verdict
from srl_tasks.generated.family import Split

STYLE = PromptStyle(
    step_task="You act in a world that answers in text. Write your next action and nothing else.",
    problem="{problem}",
    observation="{observation}",
)
_SEEDS = 2**32  # what NumPy's global generator takes, which GEM seeds


class TextWorld(Protocol):
    """GEM's interface, as far as it is used."""

    def reset(self, seed: int | None = None) -> tuple[str, Mapping[str, Any]]:
        """Begins an episode."""
        ...

    def step(self, action: str) -> tuple[str, float, bool, bool, Mapping[str, Any]]:
        """Takes an action."""
        ...


class GEMEnv(ReasoningEnv):
    """Act in an environment that has GEM's interface.

    **Task.** What its first observation says.

    **Observation.** The first observation, one's actions and what was answered to each, with the
    "prefix" and "suffix" of its info, in which GEM's games show their boards.

    **Action.** ``<think>…</think>`` and the action, which is handed on as it is.

    **Expert.** None, and so no SRL: the modes are "rlvr", "score" and the controls.

    **Reward.** By the reward mode: with "rlvr" 1 at the end where the rewards of the episode add up
    to ``correct_at`` or more, with "score" their sum.

    **Episode end.** Where the wrapped environment terminates or truncates; cut off after
    ``max_steps``, and then not correct.

    **Info.** That of ``ReasoningEnv``; ``world`` has the wrapped environment's last "reward". The
    verdict has "score", the sum of its rewards. An action on which it raises twice is wrong, with a
    "policy_fault" in the verdict.

    **Data.** Problem i is the episode with a seed hashed from ``split``, the wrapped environment's
    name and i. ``split``: "train", "dev" or "test"; by the hash of the seed, so that no seed is in
    two of them; a world of few episodes may make the same from two seeds. GEM's environments draw
    from the global generators of Python and NumPy: these are as they were after each call, and
    each environment has its own.

    **Versions.** v0: first.
    """

    granularities: ClassVar[tuple[Granularity, ...]] = ("step",)
    offline_kwargs: ClassVar[dict[str, Any]] = {"world": "game:GuessTheNumber-v0-hard"}

    def __init__(
        self,
        world: str | Callable[[], TextWorld] | None = None,
        *,
        split: Split = "train",
        max_problems: int = 100_000,
        correct_at: float = 1.0,
        **options: Any,
    ) -> None:
        """world: an id that ``gem.make`` takes, or what makes an environment without arguments.
        options: those of ``ReasoningEnv``."""
        if world is None:
            raise BadOption(
                "srl/GEM-v0 needs world='game:GuessTheNumber-v0-hard' or another of GEM's ids, "
                "gem:ID as id; in code GEMEnv(MyGame)"
            )
        make = _Named(world) if isinstance(world, str) else world
        name = world if isinstance(world, str) else getattr(world, "__qualname__", repr(world))
        source = GEMSource(make, str(name), split, max_problems)
        defaults: dict[str, Any] = {"style": STYLE, "reward_mode": "rlvr"}
        super().__init__(source, _Unasked(), **defaults | options)
        self._make, self.correct_at = make, correct_at
        self.world: Played | None = None

    def world_reset(self, problem: Problem) -> None:
        """The wrapped environment, begun with the problem's seed."""
        played = Played(self.world.env if self.world is not None else _made(self._make))
        _begin(played, problem.metadata["seed"])
        self.world = played

    def world_step(self, action: str) -> str:
        """What the wrapped environment answers."""
        assert self.world is not None, "an episode was begun"
        return self.world.step(action)

    def is_final(self, action: str) -> bool:
        """Whether the wrapped environment has ended the episode."""
        return self.world is not None and self.world.over

    def judge(self, actions: Sequence[str]) -> Verdict:
        """By the sum of the wrapped environment's rewards."""
        assert self.world is not None, "an episode was begun"
        total = self.world.total
        return Verdict(self.world.over and total >= self.correct_at, None, {"score": total})

    def world_info(self) -> Mapping[str, Any]:
        """The wrapped environment's last reward."""
        return {"reward": self.world.reward} if self.world is not None else {}


@dataclass(slots=True)
class Played:
    """A wrapped environment in an episode, and the state of its share of the global generators.

    reward: the last; total: of all; over: whether it has ended.
    """

    env: TextWorld
    reward: float = 0.0
    total: float = 0.0
    over: bool = False
    generators: tuple[Any, Any] = field(default=(None, None), repr=False)

    def step(self, action: str) -> str:
        """What it answers; raises WorldFailure where it raises, or says what is no number."""
        with self.own_generators():
            try:
                observation, reward, terminated, truncated, info = self.env.step(action)
                shown, paid = _whole(observation, info), float(reward)
            except Exception as error:  # anybody's code
                raise WorldFailure(f"{_kind(self.env)}.step() raised {error!r:.200}") from error
        if not math.isfinite(paid):
            raise WorldFailure(f"{_kind(self.env)}.step() gave a reward of {reward!r}")
        self.reward, self.total = paid, self.total + paid
        self.over = bool(terminated or truncated)
        return shown

    @contextmanager
    def own_generators(self) -> Iterator[None]:
        """Python's and NumPy's global generators are this world's, and then what they were."""
        before = random.getstate(), np.random.get_state()
        _set_generators(self.generators)
        try:
            yield
        finally:
            self.generators = random.getstate(), np.random.get_state()
            _set_generators(before)


@dataclass(frozen=True, slots=True)
class GEMSource:
    """Problem ``i`` is the episode with the split's i-th seed; its prompt is the first observation.

    Ids read "gem/WORLD/split/index".
    """

    make: Callable[[], TextWorld]
    world: str
    split: Split
    size: int
    _made: list[TextWorld] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.split not in get_args(Split):
            raise BadOption(f"split is 'train', 'dev' or 'test'; got {self.split!r}")
        if not isinstance(self.size, int) or self.size < 1:
            raise BadOption(f"max_problems is at least 1; got {self.size!r}")

    @property
    def name(self) -> str:
        """World and split."""
        return f"gem/{self.world}/{self.split}"

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Problem:
        if not 0 <= index < self.size:
            raise IndexError(f"{self.name} has problems 0 … {self.size - 1}; got {index}")
        seed = _seed(self, index)
        if not self._made:
            self._made.append(_made(self.make))
        shown = _begin(Played(self._made[0]), seed)
        return Problem(f"{self.name}/{index}", shown, metadata={"seed": seed})

    def index_of(self, problem_id: str) -> int:
        """The index that stands at the end of an id of this source."""
        prefix, _, index = problem_id.rpartition("/")
        if prefix != self.name or not index.isdecimal() or int(index) >= self.size:
            raise UnknownName("problem", problem_id, (f"{self.name}/0 … {self.size - 1}",))
        return int(index)

    def __getstate__(self) -> tuple[Any, ...]:
        return self.make, self.world, self.split, self.size

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        names = ("make", "world", "split", "size", "_made")
        for name, value in zip(names, (*state, []), strict=True):
            object.__setattr__(self, name, value)


def _seed(source: GEMSource, index: int) -> int:
    drawn = (derive_seed("gem", source.name, index, draw) % _SEEDS for draw in itertools.count())
    return next(seed for seed in drawn if split_of(f"gem {seed}", QUARTERS) == source.split)


@dataclass(frozen=True, slots=True)
class _Named:
    """Makes the environment that GEM knows by an id."""

    env_id: str

    def __call__(self) -> TextWorld:
        try:
            gem = importlib.import_module("gem")
            registry = importlib.import_module("gem.envs.registration").ENV_REGISTRY
            importlib.import_module("gem.envs")
        except ModuleNotFoundError as error:
            if error.name != "gem":
                raise
            raise MissingExtra("gem-llm", "gem") from None
        if self.env_id not in registry:
            raise UnknownName("environment of GEM", self.env_id, registry)
        try:
            made: TextWorld = gem.make(self.env_id)
        except Exception as error:  # some need data or packages of their own
            said = " ".join(str(error).replace("*", " ").split())
            raise BadOption(
                f"gem.make({self.env_id!r}) raised {type(error).__name__}: {said:.300}"
            ) from error
        return made


@dataclass(frozen=True, slots=True)
class _Unasked:
    """The verifier of environments that judge by themselves."""

    def extract(self, text: str) -> str | None:
        """None: no text states an answer."""
        return None

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        """Wrong: only the environment knows."""
        return Verdict(False)

    def verify_many(
        self, items: Sequence[tuple[Problem, Sequence[str]]]
    ) -> list[Verdict | Failure]:
        """Wrong, each."""
        return [Verdict(False)] * len(items)


def _begin(played: Played, seed: int) -> str:
    """The first observation of an episode; all that it draws hangs on the seed."""
    played.generators = (
        random.Random(seed).getstate(),
        np.random.RandomState(seed).get_state(),
    )
    with played.own_generators():
        try:
            observation, info = played.env.reset(seed=seed)
        except Exception as error:  # anybody's code
            raise WorldFailure(f"{_kind(played.env)}.reset() raised {error!r:.200}") from error
    if not isinstance(observation, str):
        raise BadOption(
            f"{_kind(played.env)}.reset() returned {type(observation).__name__} "
            f"{observation!r:.80} as observation; GEMEnv wraps environments of text"
        )
    return _whole(observation, info)


def _whole(observation: str, info: Mapping[str, Any]) -> str:
    """The observation with what GEM's own wrapper shows around it: a game's board is a suffix."""
    before, after = (str(info.get(part) or "") for part in ("prefix", "suffix"))
    return f"{before}{observation}\n{after}" if after else f"{before}{observation}"


def _made(make: Callable[[], TextWorld]) -> TextWorld:
    """A new environment, whatever making it draws."""
    before = random.getstate(), np.random.get_state()
    try:
        return make()
    finally:
        _set_generators(before)


def _set_generators(states: tuple[Any, Any]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])


def _kind(env: object) -> str:
    return type(env).__name__

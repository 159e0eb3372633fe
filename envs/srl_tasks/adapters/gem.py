"""``srl/GEM-v0``: environments with GEM's interface, which is Gymnasium's over text, as ours.

``srl_env.make("gem:game:GuessTheNumber-v0-hard")`` takes one of GEM's own by its id (package
gem-llm); ``GEMEnv(MyGame)`` wraps any class or function that makes an object with
``reset(seed) -> observation, info`` and
``step(action) -> observation, reward, terminated, truncated, info``.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from srl_env.data.splits import QUARTERS, split_of
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, MissingExtra, UnknownName, WorldFailure
from srl_env.problem import Problem
from srl_env.rewards.record import Granularity
from srl_env.seeding import derive_seed
from srl_env.text.prompt import PromptStyle
from srl_env.verifiers import Verdict
from srl_tasks.adapters.unasked import Unasked
from srl_tasks.generated.family import EndlessSource, Split

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

    **Task.** The first observation states it.

    **Observation.** The first observation, the actions so far and the answer to each, with the
    "prefix" and "suffix" of its info, in which GEM's games show their boards.

    **Action.** ``<think>…</think>`` and the action, which is passed on unchanged.

    **Expert.** None, so there is no SRL: the modes are "rlvr", "score", "world" and the controls.

    **Reward.** By the reward mode: with "rlvr" 1 at the end if the rewards of the episode sum to
    ``correct_at`` or more, with "score" their sum, with "world" each reward at its step.

    **Episode end.** When the wrapped environment terminates or truncates. After ``max_steps`` the
    episode is truncated and not correct.

    **Info.** That of ``ReasoningEnv``; ``world`` has the wrapped environment's last "reward". The
    verdict has "score", the sum of its rewards. If it raises twice on an action, the action is
    wrong, with a "policy_fault" in the verdict.

    **Data.** Problem i is the episode with a seed hashed from ``split``, the wrapped environment's
    name and i. ``split``: "train", "dev" or "test", by the hash of the seed, so no seed is in two
    of them. A world with few episodes may make the same one from two seeds. GEM's environments draw
    from the global generators of Python and NumPy. Each environment here has its own state of
    these, and after each call they are what they were before.

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
        """world: an id for ``gem.make``, or a class or function that makes an environment.
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
        super().__init__(source, Unasked(), **defaults | options)
        self._make, self.correct_at = make, correct_at
        self.world: Played | None = None

    def world_reset(self, problem: Problem) -> None:
        """Resets the wrapped environment with the problem's seed."""
        played = Played(self.world.env if self.world is not None else _made(self._make))
        _begin(played, problem.metadata["seed"])
        self.world = played

    def world_step(self, action: str) -> str:
        """The wrapped environment's observation."""
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

    def world_reward(self) -> float | None:
        """The wrapped environment's last reward."""
        return None if self.world is None else self.world.reward

    def world_info(self) -> Mapping[str, Any]:
        """The wrapped environment's last reward."""
        return {"reward": self.world.reward} if self.world is not None else {}


@dataclass(slots=True)
class Played:
    """A wrapped environment in an episode, with its own state of the global generators.

    reward: the last one; total: the sum of all; over: whether the episode has ended.
    """

    env: TextWorld
    reward: float = 0.0
    total: float = 0.0
    over: bool = False
    generators: tuple[Any, Any] = field(default=(None, None), repr=False)

    def step(self, action: str) -> str:
        """Its observation. Raises WorldFailure if it raises, or if its reward is not finite."""
        with self.own_generators():
            try:
                observation, reward, terminated, truncated, info = self.env.step(action)
                shown, value = _whole(observation, info), float(reward)
            except Exception as error:  # anybody's code
                raise WorldFailure(f"{_kind(self.env)}.step() raised {error!r:.200}") from error
        if not math.isfinite(value):
            raise WorldFailure(f"{_kind(self.env)}.step() gave a reward of {reward!r}")
        self.reward, self.total = value, self.total + value
        self.over = bool(terminated or truncated)
        return shown

    @contextmanager
    def own_generators(self) -> Iterator[None]:
        """Inside, the global generators of Python and NumPy have this world's state."""
        before = random.getstate(), np.random.get_state()
        _set_generators(self.generators)
        try:
            yield
        finally:
            self.generators = random.getstate(), np.random.get_state()
            _set_generators(before)


@dataclass(frozen=True)
class GEMSource(EndlessSource):
    """Problem ``i`` is the episode with the split's i-th seed; its prompt is the first observation.

    Ids are "gem/WORLD/split/index".
    """

    creator: Callable[[], TextWorld]
    world: str
    split: Split
    max_problems: int

    def __post_init__(self) -> None:
        self.check_arguments()

    @property
    def name(self) -> str:
        """World and split."""
        return f"gem/{self.world}/{self.split}"

    def make(self, index: int) -> Problem:
        """Problem number ``index``."""
        draws = (derive_seed("gem", self.name, index, n) % _SEEDS for n in itertools.count())
        seed = next(s for s in draws if split_of(f"gem {s}", QUARTERS) == self.split)
        shown = _begin(Played(self._env), seed)
        return Problem(f"{self.name}/{index}", shown, metadata={"seed": seed})

    @functools.cached_property
    def _env(self) -> TextWorld:
        return _made(self.creator)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_env"}


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


def _begin(played: Played, seed: int) -> str:
    """The first observation of an episode; all random draws depend on the seed."""
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
            f"the observation of {_kind(played.env)}.reset() must be a text; got "
            f"{type(observation).__name__} {observation!r:.80}"
        )
    return _whole(observation, info)


def _whole(observation: str, info: Mapping[str, Any]) -> str:
    """The observation with its prefix and suffix, as GEM's own wrapper shows it."""
    before, after = (str(info.get(part) or "") for part in ("prefix", "suffix"))
    return f"{before}{observation}\n{after}" if after else f"{before}{observation}"


def _made(make: Callable[[], TextWorld]) -> TextWorld:
    """A new environment; the global generators stay as they are."""
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

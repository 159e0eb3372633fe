"""Many text environments in one process, behind Gymnasium's vector interface.

Gymnasium's own ``AsyncVectorEnv`` cannot share text between processes. Here the environments stay
in one process, verdicts and rewards are made in batches, and slow worlds wait in parallel
(``srl_env.episode.scoring``). A failing reset is an episode that fails on its first step.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Tuple
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from srl_env.batch.stepping import reset_many, step_many
from srl_env.environment import ReasoningEnv
from srl_env.episode.options import read_count, read_options
from srl_env.errors import BadOption, Failure, UnknownName
from srl_env.seeding import derive_seed
from srl_env.text.spaces import AnyText

Texts: TypeAlias = tuple[str, ...]
Info: TypeAlias = dict[str, Any]


class VectorEnv(gymnasium.vector.VectorEnv[Texts, Sequence[str], NDArray[Any]]):
    """``num_envs`` environments that step together; observations are a tuple of texts.

    Autoreset, as in Gymnasium 1.x:

    - NEXT_STEP (default): the step after an episode's end resets, ignores the action and gives
      reward 0.
    - SAME_STEP: the last step resets. Its observation and info are in ``infos["final_obs"]`` and
      ``infos["final_info"]``.
    - DISABLED: call ``reset`` with options={"reset_mask": …}.

    Autoresets use the environments' own defaults.

    ``infos`` are batched as in Gymnasium: an array per key, with a mask under "_key", and
    dictionaries as dictionaries of arrays. Values of mixed types, None among them, keep their type
    in an object array.
    """

    def __init__(
        self,
        makers: Iterable[Callable[[], ReasoningEnv]],
        *,
        autoreset_mode: AutoresetMode | str | None = None,
    ) -> None:
        """makers: one function for each environment; they should share one problem source.
        autoreset_mode: also by name or value, "SAME_STEP" or "SameStep"."""
        super().__init__()
        self.autoreset_mode = _read_autoreset(autoreset_mode)
        self.envs: list[ReasoningEnv] = [_made(make) for make in makers]
        if not self.envs:
            raise BadOption("a vector environment needs at least one environment; none was given")
        self.num_envs = len(self.envs)
        self.metadata = {**self.envs[0].metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = self.envs[0].render_mode
        self.single_observation_space, self.single_action_space = AnyText(), AnyText()
        self.observation_space = Tuple((self.single_observation_space,) * self.num_envs)
        self.action_space = Tuple((self.single_action_space,) * self.num_envs)
        self._observations = [""] * self.num_envs
        self._over = np.zeros(self.num_envs, dtype=np.bool_)
        self._failed: dict[int, Failure] = {}

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Texts, Info]:
        """Starts episodes; returns (observations, infos).

        seed: one for each environment, or one from which a different one is hashed for each.
        options: those of ``ReasoningEnv.reset``, for all; "each": a sequence of further options,
        one for each; "reset_mask": (num_envs,) bool, where to reset (default: everywhere).
        """
        shared = dict(read_options(options, further=("each", "reset_mask")))
        chosen = self._read_mask(shared.pop("reset_mask", None))
        each = self._read_each(shared.pop("each", None))
        seeds = self._read_seeds(seed)
        infos: list[Info | None] = [None] * self.num_envs
        with _without_collection():
            self._reset(
                chosen, infos, [seeds[i] for i in chosen], [{**shared, **each[i]} for i in chosen]
            )
        return tuple(self._observations), _batched(infos)

    def step(
        self, actions: Sequence[str]
    ) -> tuple[Texts, NDArray[Any], NDArray[Any], NDArray[Any], Info]:
        """Takes one step in each; returns (observations, rewards, terminated, truncated, infos).

        Rewards are float64, NaN where the library failed. All arrays are new.
        """
        self._one_each("actions", actions)
        with _without_collection():
            return self._step(actions)

    def _step(
        self, actions: Sequence[str]
    ) -> tuple[Texts, NDArray[Any], NDArray[Any], NDArray[Any], Info]:
        infos: list[Info | None] = [None] * self.num_envs
        rewards = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, dtype=np.bool_)
        truncated = np.zeros(self.num_envs, dtype=np.bool_)
        over = self._ended()
        moving = [i for i in range(self.num_envs) if not self._over[i] and i not in self._failed]
        results = step_many([self.envs[i] for i in moving], [actions[i] for i in moving])
        done = dict(zip(moving, results, strict=True))
        done |= {i: self.envs[i].fail(failure) for i, failure in self._failed.items()}
        self._failed.clear()
        for i, result in done.items():
            self._observations[i], rewards[i], terminated[i], truncated[i], infos[i] = result
        self._over = terminated | truncated
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            over = self._ended()
            finals = [{"final_obs": self._observations[i], "final_info": infos[i]} for i in over]
            self._reset(over, infos)
            for i, final in zip(over, finals, strict=True):
                infos[i] = {**(infos[i] or {}), **final}
        elif over:
            self._reset(over, infos)
        return tuple(self._observations), rewards, terminated, truncated, _batched(infos)

    def render(self) -> tuple[str | None, ...]:  # type: ignore[override]
        """What each environment renders."""
        return tuple(env.render() for env in self.envs)

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the environments."""
        for env in self.envs:
            env.close()

    def _ended(self) -> list[int]:
        """Where an episode has ended; an error if autoreset is disabled."""
        over: list[int] = np.flatnonzero(self._over).tolist()
        if over and self.autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"episodes have ended in environments {over[:10]}: reset them with "
                "options={'reset_mask': terminated | truncated}"
            )
        return over

    def _reset(
        self,
        chosen: Sequence[int],
        infos: list[Info | None],
        seeds: Sequence[int | None] | None = None,
        options: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        envs = [self.envs[i] for i in chosen]
        no: list[None] = [None] * len(envs)
        results = reset_many(envs, seeds or no, options or no)
        for i, result in zip(chosen, results, strict=True):
            self._failed.pop(i, None)
            self._over[i] = False
            if isinstance(result, Failure):  # the next step reports it again
                self._failed[i] = result
                self._observations[i], *_, infos[i] = self.envs[i].fail(result)
            else:
                self._observations[i], infos[i] = result

    def _read_mask(self, mask: Any) -> list[int]:
        if mask is None:
            return list(range(self.num_envs))
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
            raise BadOption(
                f"reset_mask must be a bool array of shape ({self.num_envs},) with a True; got "
                f"{mask.dtype} of shape {mask.shape}"
            )
        chosen: list[int] = np.flatnonzero(mask).tolist()
        return chosen

    def _read_seeds(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if not isinstance(seed, Sequence | np.ndarray) or isinstance(seed, str):
            whole = read_count("seed", seed, 0)
            return [derive_seed("vector", whole, i) for i in range(self.num_envs)]
        self._one_each("seed", seed)
        return [None if one is None else read_count("seed", one, 0) for one in seed]

    def _read_each(self, each: Any) -> list[Mapping[str, Any]]:
        """The further options of each environment, checked before any is reset."""
        if each is None:
            return [{}] * self.num_envs
        self._one_each("each", each)
        return [read_options(one, f"entry {i} of 'each'") for i, one in enumerate(each)]

    def _one_each(self, name: str, values: Sequence[Any]) -> None:
        listed = hasattr(values, "__len__") and not isinstance(values, str | Mapping)
        if not listed or len(values) != self.num_envs:
            raise BadOption(
                f"{name} needs one entry for each of {self.num_envs} environments; got "
                f"{len(values) if listed else repr(values)[:80]}"
            )


def _read_autoreset(mode: object) -> AutoresetMode:
    for known in AutoresetMode:
        if mode in (known, known.name, known.value):
            return known
    if mode is None:
        return AutoresetMode.NEXT_STEP
    if isinstance(mode, str):
        raise UnknownName("autoreset mode", mode, [known.name for known in AutoresetMode])
    raise BadOption(
        f"autoreset_mode must be one of gymnasium's AutoresetMode, or its name; got {mode!r}"
    )


def _made(make: Any) -> ReasoningEnv:
    if not callable(make):
        raise BadOption(
            "VectorEnv takes functions that make an environment, as [lambda: "
            f"srl_env.make('srl/ModularChain-v0')] * 8; got a {type(make).__name__}"
        )
    env = make()
    if not isinstance(env, ReasoningEnv):
        raise BadOption(
            f"VectorEnv steps ReasoningEnv objects without wrappers; got {type(env).__name__}"
        )
    return env


@contextmanager
def _without_collection() -> Iterator[None]:
    """Pauses the cyclic garbage collector.

    A step makes objects by the hundred thousand, and the collector would visit those of all
    environments again and again, which takes longer than the step.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _batched(infos: Sequence[Info | None]) -> Info:
    filled = [i for i, info in enumerate(infos) if info]
    return _batch([info for info in infos if info], np.array(filled, dtype=np.intp), len(infos))


def _batch(rows: Sequence[Info], places: NDArray[np.intp], size: int) -> Info:
    """``size`` rows as arrays; the given ones are at these places."""
    batch: Info = {}
    for key in dict.fromkeys(chain.from_iterable(rows)):
        having = np.fromiter((key in row for row in rows), dtype=np.bool_, count=len(rows))
        chosen = places[having]
        batch[key] = _column([row[key] for row in rows if key in row], chosen, size)
        batch[f"_{key}"] = mask = np.zeros(size, dtype=np.bool_)
        mask[chosen] = True
    return batch


def _column(values: Sequence[Any], chosen: NDArray[np.intp], size: int) -> Any:
    """The values of one key at their places, as an array or a dictionary of arrays."""
    kinds = set(map(type, values))
    if kinds == {dict}:
        return _batch(values, chosen, size)
    whole = kinds == {int} and -(2**63) <= min(values) <= max(values) < 2**63
    if kinds in ({bool}, {float}) or whole:
        array: NDArray[Any] = np.zeros(size, dtype=kinds.pop())
        array[chosen] = values
    else:
        array = np.full(size, None, dtype=object)
        array[chosen] = np.fromiter(values, dtype=object, count=len(values))
    return array

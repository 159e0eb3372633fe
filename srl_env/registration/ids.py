"""Environment ids, ours and other people's: found by entry point and made by name.

A distribution that brings environments states in its metadata::

    [project.entry-points."srl_env.environments"]
    my_tasks = "my_tasks:ENVIRONMENTS"

where ``ENVIRONMENTS`` maps ids to "module:Class" texts. The table is read when ``srl_env`` is
imported, the classes when an environment is made. Gymnasium 1.x itself ignores entry points.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import warnings
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, cast

import gymnasium
from gymnasium.envs.registration import ENV_ID_RE, EnvSpec, load_env_creator
from gymnasium.error import DeprecatedEnv, UnregisteredEnv

from srl_env.errors import BadOption, UnknownName, UserError
from srl_env.registration.names import GROUP, STEPS, locate

if TYPE_CHECKING:
    from gymnasium.vector import AutoresetMode

    from srl_env.batch.vector import VectorEnv
    from srl_env.environment import ReasoningEnv

_ours: dict[str, str] = {}


class UnknownEnvironment(UnknownName):
    """An id that is not registered. The suggestion ignores namespace, version and capitals, and may
    match one word: "gsm8k", "Modular-Chain", "chian"."""

    def _hint(self) -> str:
        plain = {_plain(known): known for known in self.known}
        words = {w.lower(): known for known in self.known for w in _WORD.findall(_middle(known))}
        for names in (plain, words):
            near = difflib.get_close_matches(_plain(self.name), names, n=1, cutoff=0.75)
            if near:
                return f"Did you mean {names[near[0]]!r}?"
        return super()._hint()


def register_installed() -> None:
    """Registers every installed environment with Gymnasium, without importing it.

    A table that cannot be read is a warning, so that another package cannot break this one.
    """
    for entry_point in entry_points(group=GROUP):
        try:
            for env_id, target in entry_point.load().items():
                _register(env_id, target)
        except Exception as error:  # noqa: BLE001  # the boundary to other people's packages
            source = "an unknown package" if entry_point.dist is None else entry_point.dist.name
            warnings.warn(
                f"environments of {source} (entry point {entry_point.name} = {entry_point.value}) "
                f"are not all available: {type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )


def environment_ids() -> list[str]:
    """The ids that ``register_installed`` found, sorted."""
    return sorted(_ours)


def make(name: str | EnvSpec, **arguments: Any) -> ReasoningEnv:
    """The environment of that name: ``gymnasium.make`` with better errors.

    name: an id, another name of ``srl_env.registration.names``, e.g. "steps:problems.jsonl", or a
    spec. arguments: those of the environment's constructor.
    Raises ``UnknownName`` for an id or an argument that does not exist, and ``BadOption`` for
    missing arguments.
    """
    if not isinstance(name, str | EnvSpec) or not name:
        raise BadOption(f"an environment is named by its id (srl-env list); got {name!r}")
    found, given = locate(name)
    env_id = name if isinstance(name, str) else name.id
    if isinstance(found, str) and not _is_id(found):
        raise _unknown(env_id)
    try:
        return cast("ReasoningEnv", gymnasium.make(found, **{**given, **arguments}))
    except (UnregisteredEnv, DeprecatedEnv) as error:
        raise _unknown(env_id) from error
    except ModuleNotFoundError as error:  # "module:id" with an unknown module
        cause = error.__cause__  # Gymnasium's own error does not say which module it was
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else error.name
        if missing is None or not env_id.startswith((f"{missing}:", f"{missing}.")):
            raise
        raise BadOption(
            f"{env_id!r}: no module {missing!r} to import; write {STEPS}FILE for a file of "
            "problems, FILE.py for a file of code, and the id alone for what is installed"
        ) from error
    except TypeError as error:
        _explain_arguments(env_id, found, error)
        raise


def offline_arguments(name: str) -> dict[str, Any]:
    """The ``offline_kwargs`` of a class, with which it is made without network.

    {} for none, for a name that says where the data is, and for an unknown name.
    """
    found, given = locate(name)
    spec = gymnasium.registry.get(found) if isinstance(found, str) else found
    if given or spec is None:
        return {}
    try:
        target: Any = spec.entry_point
        maker = load_env_creator(target) if isinstance(target, str) else target
    except (ImportError, AttributeError):
        return {}
    return dict(getattr(maker, "offline_kwargs", {}))


def make_vec(
    env_id: str,
    num_envs: int,
    *,
    autoreset_mode: AutoresetMode | str | None = None,
    **arguments: Any,
) -> VectorEnv:
    """``num_envs`` environments of that id that step together, see ``srl_env.batch.vector``."""
    from srl_env.batch.vector import VectorEnv

    makers: list[Callable[[], ReasoningEnv]] = [functools.partial(make, env_id, **arguments)]
    return VectorEnv(makers * num_envs, autoreset_mode=autoreset_mode)


def _register(env_id: str, target: str) -> None:
    if not (isinstance(target, str) and target.count(":") == 1):
        raise BadOption(f"{env_id!r} must map to a text 'module:Class'; got {target!r}")
    known = gymnasium.registry.get(env_id)
    if known is not None and known.entry_point != target:
        raise BadOption(f"{env_id!r} is registered already, for {known.entry_point!r}")
    if known is None:
        # ReasoningEnv enforces the order of calls itself, and promises a NaN reward on failure.
        # Gymnasium's wrappers would add cost and warn about it. `check_env` checks more.
        gymnasium.register(
            env_id, entry_point=target, order_enforce=False, disable_env_checker=True
        )
    _ours[env_id] = target


def _is_id(name: str) -> bool:
    """Whether Gymnasium can read a text as "id" or "module:id"; its errors for others are bare."""
    module, colon, env_id = name.rpartition(":")
    return (bool(module) or not colon) and ":" not in module and bool(ENV_ID_RE.fullmatch(env_id))


def _unknown(env_id: str) -> UserError:
    if env_id.endswith((".json", ".csv", ".parquet", ".txt", ".gz")) or env_id.startswith(
        (".", "/", "~")
    ):
        return BadOption(
            f"{env_id!r} is not an environment. Fix: give an id (srl-env list), {STEPS}FILE with a "
            "file of JSON lines, FILE.py, or the folder of a package"
        )
    return UnknownEnvironment("environment", env_id.rpartition(":")[2], _ours)


_WORD = re.compile(r"[A-Z][a-z]{2,}")


def _middle(env_id: str) -> str:
    """An id without its namespace and version."""
    return re.sub(r"-v\d+$", "", env_id.rpartition("/")[2])


def _plain(env_id: str) -> str:
    return re.sub(r"[-_ ]", "", _middle(env_id)).lower()


def _explain_arguments(env_id: str, found: str | EnvSpec, error: TypeError) -> None:
    """Raises a better error if the constructor's arguments caused this one."""
    text = str(error)
    if named := re.search(r"unexpected keyword argument '(\w+)'", text):
        raise UnknownName(f"argument of {env_id}", named.group(1), _parameters(found)) from error
    if named := re.search(r"missing \d+ required [\w-]+ arguments?: ((?:'\w+'|, | and |,)+)", text):
        raise BadOption(
            f"{env_id!r} needs the arguments {named.group(1)}; give them, or give them defaults "
            "in the class's __init__"
        ) from error


def _parameters(found: str | EnvSpec) -> set[str]:
    target = (gymnasium.spec(found) if isinstance(found, str) else found).entry_point
    creator: Any = load_env_creator(target) if isinstance(target, str) else target
    names: set[str] = set()
    for owner in getattr(creator, "__mro__", (creator,)):
        maker = vars(owner).get("__init__") if isinstance(owner, type) else owner
        if maker is not None and owner is not object:
            parameters = inspect.signature(maker).parameters.values()
            names.update(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)
    return names - {"self", "problems", "verifier"}

"""Your own policy by name: the one in a Python file, or ``module:Class``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from srl_env.data.named import named
from srl_env.errors import BadOption, UnknownName
from srl_env.policy import Policy
from srl_env.registration.names import load_file
from srl_env.rollout import AnyPolicy, PrivilegedPolicy

_IN_A_MODULE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_own(name: str) -> bool:
    """Whether a name means your own policy: FILE.py, FILE.py:Class or module:Class."""
    in_file = name.endswith(".py") or ".py:" in name
    return in_file or (_IN_A_MODULE.fullmatch(name) is not None and not name.startswith("hf:"))


def own_policy(name: str, arguments: Mapping[str, Any] | None = None) -> AnyPolicy:
    """The policy: an object as it is, a class or a function called with the arguments.

    Raises ``BadOption`` for a file or module that cannot be imported, for arguments that it does
    not take, and for what is not a policy; ``UnknownName`` for a class that is not there.
    """
    path, in_file, chosen = name.partition(".py")
    if in_file and (not chosen or chosen.startswith(":")):
        found = _in_module(Path(f"{path}.py"), chosen.removeprefix(":"))
    else:
        found = named("policy", name, {})
    made = _made(name, found, arguments or {})
    if isinstance(made, type) or not isinstance(made, Policy | PrivilegedPolicy):
        raise BadOption(
            f"policy must be an object with generate(batch, sampling), or a class that makes one; "
            f"got a {type(made).__name__} from {name}"
        )
    return made


def _in_module(path: Path, chosen: str) -> Any:
    module = load_file(path)
    policies = _policies(module)
    if chosen:
        found = policies.get(chosen, getattr(module, chosen, None))
        if found is None:
            raise UnknownName(f"policy in {path}", chosen, policies)
        return found
    if len(policies) != 1:
        which = (
            f"several: {', '.join(policies)}. Fix: choose one, as {path}:{next(iter(policies), '')}"
        )
        none = "none. Fix: define a class with generate(batch, sampling)"
        raise BadOption(f"{path} must define one policy; got {which if policies else none}")
    return next(iter(policies.values()))


def _policies(module: ModuleType) -> dict[str, type]:
    """The classes of a module's own that have the method of a policy, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and (hasattr(value, "generate") or hasattr(value, "act"))
    }


def _made(name: str, found: Any, arguments: Mapping[str, Any]) -> Any:
    if not callable(found):
        if arguments:
            raise BadOption(
                f"{name} is an object and takes no arguments; got {', '.join(arguments)}"
            )
        return found
    try:
        inspect.signature(found).bind(**arguments)
    except (TypeError, ValueError) as error:
        raise BadOption(
            f"{name} does not take these arguments ({error}). Fix: give them with --policy-kwargs"
        ) from error
    return found(**arguments)

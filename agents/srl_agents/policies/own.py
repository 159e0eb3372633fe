"""Classes found by name, ``module:Class`` or in a Python file, and called with what they take."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from srl_env.errors import BadOption, UnknownName
from srl_env.named import named
from srl_env.policy import Policy
from srl_env.registration.names import load_file
from srl_env.rollout import AnyPolicy, PrivilegedPolicy

_IN_A_MODULE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_SECRET = {"api_key"}  # arguments that no command line or record may hold


def is_own(name: str) -> bool:
    """Whether a name means your own policy: FILE.py, FILE.py:Class or module:Class."""
    in_file = name.endswith(".py") or ".py:" in name
    return in_file or (_IN_A_MODULE.fullmatch(name) is not None and not name.startswith("hf:"))


def find(name: str) -> Any:
    """The class, function or object of that name.

    Raises BadOption if the file or module cannot be imported, UnknownName if it lacks the class.
    """
    path, in_file, chosen = name.partition(".py")
    if in_file and (not chosen or chosen.startswith(":")):
        return _in_file(Path(f"{path}.py"), chosen.removeprefix(":"))
    return named("policy", name, {})


def make(
    name: str,
    found: Any,
    *positional: Any,
    arguments: Mapping[str, Any],
    offered: Mapping[str, Any],
) -> AnyPolicy:
    """The policy: an object as it is; a class or function is called.

    positional: always given. arguments: must all be taken. offered: given if taken and not None.
    Raises UnknownName or BadOption for wrong arguments, BadOption for what is not a policy.
    """
    made = _called(name, found, positional, arguments, offered) if callable(found) else found
    if made is found and arguments:
        raise BadOption(f"{name} is an object and takes no arguments; got {', '.join(arguments)}")
    if isinstance(made, type) or not isinstance(made, Policy | PrivilegedPolicy):
        raise BadOption(
            f"policy must be an object with generate(batch, sampling), or a class that makes one; "
            f"got a {type(made).__name__} from {name}"
        )
    return made


def _called(
    name: str,
    found: Any,
    positional: tuple[Any, ...],
    arguments: Mapping[str, Any],
    offered: Mapping[str, Any],
) -> Any:
    call = getattr(found, "from_pretrained", found)
    parameters = inspect.signature(call).parameters
    known = parameters.keys() - _SECRET
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for argument in () if takes_any else arguments:
        if argument not in known:
            raise UnknownName(f"argument of {found.__name__}", argument, known)
    extra = {key: value for key, value in offered.items() if key in known and value is not None}
    given = extra | dict(arguments)
    try:
        inspect.signature(call).bind(*positional, **given)
    except TypeError as error:
        raise BadOption(f"{name}: {error}. Fix: give its arguments with --policy-kwargs") from error
    return call(*positional, **given)


def _in_file(path: Path, chosen: str) -> Any:
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
    """The policy classes that a module defines, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and (hasattr(value, "generate") or hasattr(value, "act"))
    }

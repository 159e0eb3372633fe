"""The names of environments: an id, a file of problems, a file of code, or a folder.

==========================  =====================================================================
``srl/GSM8K-v0``            the environment registered under that id
``steps:problems.jsonl``    problems with expert steps in a file, without a class (srl/Steps-v0);
                            a name that ends in ``.jsonl``, ``.csv``, ``.tsv``, ``.xlsx`` or
                            ``.parquet`` means the same
``reasoning_gym:NAME``      a data set of reasoning-gym (srl/ReasoningGym-v0)
``gem:ID``                  an environment of GEM (srl/GEM-v0)
``openenv:URL``             an environment on a server of OpenEnv's (srl/OpenEnv-v0)
``my_env.py``               the ``ReasoningEnv`` subclass in a Python file
``my_env.py:Times``         the one of that name, if there are several
``my_package/``             a folder whose pyproject.toml names its environments
==========================  =====================================================================
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from gymnasium.envs.registration import EnvSpec

from srl_env.errors import BadOption, UnknownName

STEPS = "steps:"
STEPS_ID = "srl/Steps-v0"
TABLES = (".jsonl", ".csv", ".tsv", ".xlsx", ".parquet")
_PREFIXES = {
    STEPS: (STEPS_ID, "path", "a file", "problems.jsonl"),
    "reasoning_gym:": ("srl/ReasoningGym-v0", "dataset", "a data set", "chain_sum"),
    "gem:": ("srl/GEM-v0", "world", "an id", "game:GuessTheNumber-v0-hard"),
    "openenv:": ("srl/OpenEnv-v0", "url", "an address", "http://localhost:8000"),
}
"""{prefix: (id, argument, what comes after it, an example)}"""
GROUP = "srl_env.environments"


def locate(name: str | EnvSpec) -> tuple[str | EnvSpec, dict[str, Any]]:
    """What ``gymnasium.make`` takes for a name: an id or a spec, and keyword arguments.

    Raises ``BadOption`` for a file or folder that does not exist or has no environment,
    ``UnknownName`` for a class that a file does not have.
    """
    if isinstance(name, EnvSpec):
        return name, {}
    for prefix, (env_id, argument, what, example) in _PREFIXES.items():
        if name == prefix:
            raise BadOption(f"{prefix} needs {what} after it, as in {prefix}{example}")
        if name.startswith(prefix):
            return env_id, {argument: name.removeprefix(prefix)}
    path, _, class_name = name.partition(".py:")
    if class_name or name.endswith(".py"):
        return _spec_in(Path(f"{path.removesuffix('.py')}.py"), class_name), {}
    if name.endswith(TABLES):
        return STEPS_ID, {"path": name}
    if not Path(name).is_dir():
        return name, {}
    found = environments_in(Path(name))
    if len(found) > 1:
        raise BadOption(
            f"{name} has {len(found)} environments: {', '.join(found)}. Fix: give one of their "
            "files, as FILE.py:Class, or install the package and give an id"
        )
    return next(iter(found.values())), {}


def environments_in(folder: Path) -> dict[str, EnvSpec]:
    """The environments that a folder's pyproject.toml names, by id, installed or not.

    Raises ``BadOption`` if there are none or they cannot be loaded.
    """
    import tomllib  # only here: importing srl_env stays cheap

    from srl_env.environment import ReasoningEnv

    file = folder / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except OSError as error:
        raise BadOption(
            f"{folder} has no readable pyproject.toml ({error.strerror}). Fix: give a folder that "
            "`srl-env init` wrote, a file, or an id"
        ) from error
    except ValueError as error:
        raise BadOption(f"{file}: {error}") from error
    for root in (folder, folder / "src"):
        if root.is_dir():
            _importable(root.resolve())
    targets: dict[str, str] = {}
    for target in project.get("entry-points", {}).get(GROUP, {}).values():
        table = _named(file, target)
        if not isinstance(table, Mapping):
            raise BadOption(
                f"{file}: {target!r} must be a table of ids; got a {type(table).__name__}"
            )
        targets |= table
    if not targets:
        raise BadOption(
            f"{file} names no environments; it needs a table "
            f'[project.entry-points."{GROUP}"] with NAME = "package:ENVIRONMENTS"'
        )
    specs = {}
    for env_id, target in targets.items():
        maker = _named(file, target)
        if not (isinstance(maker, type) and issubclass(maker, ReasoningEnv)):
            raise BadOption(f"{file}: {target!r} must be a subclass of srl_env.ReasoningEnv")
        specs[env_id] = _free_spec(env_id, maker)
    return specs


def load_file(path: Path) -> ModuleType:
    """The module in a Python file, under its usual import name.

    A file in a package is imported as part of it. Raises ``BadOption`` if it cannot be read, and
    for anything that its code raises, with the line.
    """
    if not path.is_file():
        raise BadOption(f"no file {str(path)!r}. Fix: give the path of a Python file, or an id")
    path = path.resolve()
    root, name = path.parent, path.stem
    while (root / "__init__.py").is_file():
        root, name = root.parent, f"{root.name}.{name}"
    _importable(root)
    try:
        module = importlib.import_module(name) if name.isascii() else None
        if module is None or module.__file__ is None or Path(module.__file__).resolve() != path:
            module = _loaded_alone(path)
    except Exception as error:  # the file is anybody's code
        raise BadOption(
            f"{_line_of(error, path)}: importing the file raised {type(error).__name__}: {error}"
        ) from error
    return module


def _loaded_alone(path: Path) -> ModuleType:
    """The module in a file whose name another module has already."""
    name = f"{path.stem}_{hashlib.blake2b(bytes(path), digest_size=4).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _spec_in(path: Path, class_name: str) -> EnvSpec:
    """The spec of the environment in a file; class_name: "" for the only one."""
    found = _classes(load_file(path))
    if class_name and class_name not in found:
        raise UnknownName(f"environment class in {path}", class_name, found)
    if not class_name and len(found) != 1:
        which = f"several: {', '.join(found)}; choose one, as {path}:{next(iter(found), '')}"
        none = "no class derived from srl_env.ReasoningEnv; define one there"
        raise BadOption(f"{path} defines {which if found else none}")
    maker = found[class_name or next(iter(found))]
    return _free_spec(f"{path.stem}/{maker.__name__}", maker)


def _classes(module: ModuleType) -> dict[str, type]:
    from srl_env.environment import ReasoningEnv

    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, ReasoningEnv)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and not inspect.isabstract(value)
    }


def _named(file: Path, target: str) -> Any:
    module, _, name = str(target).partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # the package is anybody's code
        raise BadOption(
            f"{file}: {target!r} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _free_spec(env_id: str, maker: Any) -> EnvSpec:
    """A spec that need not be registered; the two flags as for those that are."""
    return EnvSpec(env_id, entry_point=maker, order_enforce=False, disable_env_checker=True)


def _importable(root: Path) -> None:
    if str(root) not in sys.path:
        sys.path.append(str(root))  # at the end, so that it shadows nothing
    importlib.invalidate_caches()


def _line_of(error: Exception, path: Path) -> str:
    """Where in the file the error is: "path:line", or the path if the line is unknown."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)

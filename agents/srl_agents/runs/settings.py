"""Nested dictionaries of settings: read from files, overridden by dotted keys, merged."""

from __future__ import annotations

import contextlib
import json
import reprlib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from srl_env.errors import BadOption

Tree = Mapping[str, Any]


def without_off(tree: Tree) -> dict[str, Any]:
    """The tree with None for "off", except in the arguments of an environment."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and key != "env":
            result[key] = without_off(value)
        else:
            result[key] = None if value == "off" else value
    return result


def read_tree(path: str | Path) -> dict[str, Any]:
    """A TOML or JSON file as nested dictionaries; raises BadOption if it cannot be read."""
    path = Path(path)
    read = json.loads if path.suffix == ".json" else tomllib.loads
    try:
        tree: object = read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadOption(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start + 1} is 0x{error.object[error.start]:02x}"
        raise BadOption(f"{path} must be UTF-8; {wrong}") from error
    except (ValueError, RecursionError) as error:
        raise BadOption(f"{path}: {error}") from error
    if not isinstance(tree, dict):
        raise BadOption(
            f"{path} must be a JSON object of keys and values, {{…}}; got {reprlib.repr(tree)}"
        )
    return tree


def with_overrides(tree: Tree, overrides: Iterable[str]) -> dict[str, Any]:
    """The tree with each ``key.key=value`` set in it.

    A value is read as TOML (``3e-4``, ``true``, ``[1, 2]``), a list or a table also as JSON
    (``{"a": 1}``), and everything else as plain text. A table changes the keys that it has;
    ``{}`` empties what is there.
    """
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            raise BadOption(f"an override must be KEY=VALUE, as train.lr=3e-4; got {override!r}")
        leaf = _value(value.strip())
        if leaf == {}:
            tree = with_leaf(tree, key.strip(), None)  # else nothing would be merged into it
        tree = with_leaf(tree, key.strip(), leaf)
    return dict(tree)


def _value(text: str) -> Any:
    with contextlib.suppress(ValueError):
        return tomllib.loads(f"value = {text}")["value"]
    with contextlib.suppress(ValueError, RecursionError):
        if text.startswith(("{", "[")):
            return json.loads(text)
    return text


def merged(tree: Tree, change: Tree) -> dict[str, Any]:
    """The tree with the change's leaves."""
    result = dict(tree)
    for key, value in change.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def dotted(where: str, name: str) -> str:
    """The dotted key of a name at a place, which may be the top, ""."""
    return f"{where}.{name}" if where else name


def with_leaf(tree: Tree, key: str, value: Any) -> dict[str, Any]:
    """The tree with ``value`` at a dotted key."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return merged(tree, value)


def leaves(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """{dotted key: value} of everything in the tree that is not itself a tree."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found

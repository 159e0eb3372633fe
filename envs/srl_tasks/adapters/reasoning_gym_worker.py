"""Scores answers with reasoning-gym, in a worker process of ``srl_env.verifiers.worker``.

It imports nothing of this library, to start fast.

Some data sets pass answers to ``eval`` or to sympy's ``parse_expr``, which is ``eval`` too. A
policy's text must not run. While a data set scores, both names stand for functions that accept only
Python literals (``eval``) and terms of numbers, names, operators and the functions listed here. An
attribute, an index, a text in a term, or any other call raises ValueError, which the data sets
treat as unreadable.
"""

from __future__ import annotations

import ast
import base64
import functools
import json
import math
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

MEMORY_BYTES = 4 * 1024**3
FUNCTIONS = frozenset(
    ("Abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "cot", "csc", "exp",
     "ln", "log", "sec", "sin", "sinh", "sqrt", "tan", "tanh")
)  # fmt: skip
_OF_A_TERM = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Load, ast.operator, ast.UAdd, ast.USub, ast.Invert,
)  # fmt: skip


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """{"score": a number in [0, 1]}."""
    return {"score": score(request)}


def score(request: dict[str, Any]) -> float:
    """The data set's score of an answer; 0 for one that it cannot read or must not see."""
    generator = _generator(request["dataset"], request["config"])
    entry = pickle.loads(base64.b64decode(request["entry"]))  # from the process that started us
    try:
        with nothing_runs(type(generator)):
            found = float(generator.score_answer(request["answer"], entry))
    except (MemoryError, RecursionError):
        raise
    except Exception:  # noqa: BLE001  # its code was not made for such texts
        return 0.0
    return min(1.0, max(0.0, found)) if math.isfinite(found) else 0.0


@contextmanager
def nothing_runs(kind: type) -> Iterator[None]:
    """Inside, the data set's code has nothing that could run an answer."""
    replaced = [(place, name, vars(place).get(name, _MISSING)) for place, name in _evaluators(kind)]
    for place, name, before in replaced:
        setattr(place, name, harmless_eval if name in ("eval", "exec") else _only_terms(before))
    try:
        yield
    finally:
        for place, name, before in replaced:
            if before is _MISSING:
                delattr(place, name)
            else:
                setattr(place, name, before)


_MISSING = object()


@functools.cache
def _evaluators(kind: type) -> tuple[tuple[ModuleType, str], ...]:
    """The places and names that evaluate text, as seen from the module of a data set."""
    module = sys.modules[kind.__module__]
    found = [(module, "eval"), (module, "exec")]
    import sympy

    for place in (module, sympy):
        found += [
            (place, name) for name in ("parse_expr", "sympify", "parse_latex")
            if getattr(vars(place).get(name), "__module__", "").startswith("sympy")
        ]  # fmt: skip
    return tuple(found)


def harmless_eval(text: object, *_: object, **__: object) -> Any:
    """The value of a literal or a term without names; ValueError for any other text."""
    try:
        return ast.literal_eval(text)  # type: ignore[arg-type]
    except (ValueError, SyntaxError, TypeError):
        pass
    if not isinstance(text, str) or not is_term(text, names=False):
        raise ValueError("not evaluated: neither a literal nor a term")
    return eval(compile(text, "term", "eval"), {"__builtins__": {}})


def _only_terms(parse: Callable[..., Any]) -> Callable[..., Any]:
    """sympy's parser, for terms only; values that are not texts are passed on."""

    def guarded(text: Any, *given: Any, **named: Any) -> Any:
        if isinstance(text, str) and not is_term(text):
            raise ValueError("not parsed: no term")
        return parse(text, *given, **named)

    return guarded


def is_term(text: str, names: bool = True) -> bool:
    """Whether a text has only numbers, operators, names and known functions."""
    try:
        nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except (ValueError, SyntaxError):
        return False
    return all(_is_harmless(node, names) for node in nodes)


def _is_harmless(node: ast.AST, names: bool) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float)
    if isinstance(node, ast.Name):
        return names and not node.id.startswith("_")
    if isinstance(node, ast.Call):
        known = isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS
        return known and not node.keywords
    return isinstance(node, _OF_A_TERM)


@functools.lru_cache(maxsize=64)
def _generator(dataset: str, config: str) -> Any:
    import reasoning_gym  # the worker has imported it before the first request

    return reasoning_gym.create_dataset(dataset, seed=0, size=1, **json.loads(config))

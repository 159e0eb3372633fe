"""Whether two LaTeX answers are equal as mathematics, by math-verify.

It runs in a worker process of ``srl_env.verifiers.worker`` and imports nothing of this library.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import math_verify
import sympy

MEMORY_BYTES = 2 * 1024**3
RELATIVE = 1e-12

_DEFAULT = math_verify.LatexExtractionConfig()
# Units are not removed: 2m is not 2.
_EXTRACTION = replace(
    _DEFAULT, normalization_config=replace(_DEFAULT.normalization_config, units=False)
)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """{"equal": bool} for the LaTeX texts "answer" and "expected"."""
    pairs = product(_parsed(request["expected"]), _parsed(request["answer"]))
    return {"equal": any(_same(*pair) for pair in pairs)}


def _parsed(latex: str) -> list[Any]:
    found: list[Any] = math_verify.parse(f"\\boxed{{{latex}}}", [_EXTRACTION], parsing_timeout=None)
    return found


def _same(expected: Any, stated: Any) -> bool:
    try:
        equal = math_verify.verify(expected, stated, timeout_seconds=None, raise_on_error=True)
        return bool(equal) and _close(expected, stated)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # noqa: BLE001  # sympy raises anything on what cannot be compared
        return False


def _close(one: Any, other: Any) -> bool:
    """Whether two numbers differ by at most ``RELATIVE`` of the larger, also in tuples and sets.

    Math-verify rounds to six decimals, so it takes 1e-20 for 0.
    """
    if isinstance(one, sympy.FiniteSet) and isinstance(other, sympy.FiniteSet):
        return all(any(_close(a, b) for b in other) for a in one)
    if isinstance(one, sympy.Tuple | sympy.Interval) and len(one.args) == len(other.args):
        return all(map(_close, one.args, other.args))
    if not all(isinstance(side, sympy.Expr) and side.is_number for side in (one, other)):
        return True
    low, high = sorted((one.evalf(30), other.evalf(30)), key=abs)
    return bool(abs(high - low) <= RELATIVE * abs(high))

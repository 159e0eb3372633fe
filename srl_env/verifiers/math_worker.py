"""The process in which math-verify runs; started by ``srl_env.verifiers.boxed``, as a script.

It imports nothing of this library, to start fast. See ``srl_env.verifiers.worker_pool`` for how
it is spoken to. What it limits itself to: each request's ``deadline_s`` of processor
time, so that it ends soon even if whoever started it is gone; ``MEMORY_BYTES`` of address
space; no core files. What it does not limit: nothing here runs code that it is sent, so
files and network are left alone.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import resource
import signal
import sys
from dataclasses import replace
from itertools import product
from typing import Any

MEMORY_BYTES = 2 * 1024**3
RELATIVE = 1e-12


def main() -> None:
    """Answers requests until the input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    os.dup2(2, 1)  # what libraries print must not come between the replies
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    logging.disable()  # math-verify warns that its own deadlines are off
    try:
        import math_verify  # noqa: F401  # slow: before the first deadline, not after
    except Exception as error:  # noqa: BLE001  # told to whoever started this process
        print(json.dumps({"failure": f"cannot import math_verify: {error!r}"}), file=replies)
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    print(json.dumps({"ready": True}), file=replies)
    for line in sys.stdin:
        print(json.dumps(reply_to(json.loads(line))), file=replies)


def reply_to(request: dict[str, Any]) -> dict[str, Any]:
    """{"equal": bool}, or {"failure": …} where memory or stack ran out."""
    signal.setitimer(signal.ITIMER_PROF, request["deadline_s"])  # its signal ends this process
    try:
        return {"equal": equal(request["answer"], request["expected"])}
    except (MemoryError, RecursionError) as error:
        return {"failure": repr(error)[:200]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def equal(answer: str, expected: str) -> bool:
    """Whether math-verify takes two LaTeX answers for the same."""
    return any(_same(*pair) for pair in product(_parsed(expected), _parsed(answer)))


def _parsed(latex: str) -> list[Any]:
    import math_verify

    found: list[Any] = math_verify.parse(
        f"\\boxed{{{latex}}}", [_extraction()], parsing_timeout=None
    )
    return found


@functools.cache
def _extraction() -> Any:
    """Math-verify's own configuration, but without removing units: 2m is not 2."""
    import math_verify

    default = math_verify.LatexExtractionConfig()
    return replace(default, normalization_config=replace(default.normalization_config, units=False))


def _same(expected: Any, answer: Any) -> bool:
    import math_verify

    try:
        equal = math_verify.verify(expected, answer, timeout_seconds=None, raise_on_error=True)
        return bool(equal) and _close(expected, answer)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # noqa: BLE001  # sympy raises anything on what cannot be compared
        return False


def _close(one: Any, other: Any) -> bool:
    """Whether numbers that math-verify takes for equal, also inside tuples and sets, differ by no
    more than ``RELATIVE`` of the larger: it rounds to six decimals, to which 1e-20 is 0."""
    import sympy

    if isinstance(one, sympy.FiniteSet) and isinstance(other, sympy.FiniteSet):
        return all(any(_close(a, b) for b in other) for a in one)
    if isinstance(one, sympy.Tuple | sympy.Interval) and len(one.args) == len(other.args):
        return all(map(_close, one.args, other.args))
    if not all(isinstance(side, sympy.Expr) and side.is_number for side in (one, other)):
        return True
    low, high = sorted((one.evalf(30), other.evalf(30)), key=abs)
    return bool(abs(high - low) <= RELATIVE * abs(high))


if __name__ == "__main__":
    main()

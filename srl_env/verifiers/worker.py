"""The loop of a worker process. ``srl_env.verifiers.worker_pool`` runs it as a script::

    python -P worker.py FILE [MODULE …]

FILE is a Python file with ``MEMORY_BYTES`` and ``answer(request)``, which takes and returns a
dictionary that JSON can hold. The modules are imported before the first request. Neither this
script nor FILE imports this library, to start fast.

The process limits itself to the ``deadline_s`` of each request in processor time, to
``MEMORY_BYTES`` of address space, and to no core files. It does not limit files or network.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main(path: Path, modules: Sequence[str]) -> None:
    """Answers requests until the input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    os.dup2(2, 1)  # what libraries print must not come between the replies
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    logging.disable()  # math-verify warns that its own deadlines are off
    try:
        module = loaded(path)
        for name in modules:
            importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  # reported to the process that started this one
        print(json.dumps({"failure": f"cannot load {path.name}: {error!r}"}), file=replies)
        return
    resource.setrlimit(resource.RLIMIT_AS, (module.MEMORY_BYTES, module.MEMORY_BYTES))
    print(json.dumps({"ready": True}), file=replies)
    for line in sys.stdin:
        print(json.dumps(reply_to(module, json.loads(line))), file=replies)


def loaded(path: Path) -> Any:
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reply_to(module: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The answer, or {"failure": …} if memory or stack runs out."""
    signal.setitimer(signal.ITIMER_PROF, request["deadline_s"])  # its signal ends this process
    try:
        answer: dict[str, Any] = module.answer(request)
        return answer
    except (MemoryError, RecursionError) as error:
        return {"failure": repr(error)[:200]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

"""vLLM's own server in a process of its own, for tests; on a CPU, as small as it can be."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SERVE = (sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model")
"""``vllm serve``, which the CPU's package has not got."""
STARTING_S = 800.0
_SMALL = ("--kv-cache-memory-bytes", str(2**26), "--enforce-eager")


@contextmanager
def started(command: Sequence[str], log: Path, **environment: str) -> Iterator[str]:
    """The address of a server, as http://127.0.0.1:8000, that ends with the context.

    command: begins with SERVE and the model. log: where it writes. environment: beside ours.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, *_SMALL, "--host", "127.0.0.1", "--port", str(port)],
            env=os.environ
            | {"VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
            | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Returns when the server answers; fails with the end of its log where it does not."""
    deadline = time.monotonic() + STARTING_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")

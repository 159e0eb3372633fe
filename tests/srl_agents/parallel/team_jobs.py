"""Several processes that run one function as a launcher would start them, and what comes back."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from srl_agents.parallel.team import leave

PLACE = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}
PLACE |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
"""The launcher's variables in the first of two processes."""


def together(size: int, job: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``job(*arguments)`` gives in each of ``size`` processes, that of rank 0 first."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["srl_agents.training.trainer"])
    port, processes, ends = _free_port(), [], []
    for rank in range(size):
        here, there = context.Pipe()
        process = context.Process(target=_run, args=(rank, size, port, there, job, arguments))
        process.start()
        there.close()
        processes.append(process)
        ends.append(here)
    try:
        found = [end.recv() for end in ends]
    finally:
        for process in processes:
            process.join(30)
            process.kill()
    for _, error in found:
        assert error is None, error
    return [result for result, _ in found]


def _run(
    rank: int, size: int, port: int, end: Connection, job: Callable[..., Any], arguments: Any
) -> None:
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    os.environ |= {name: str(value) for name, value in places.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    try:
        end.send((job(*arguments), None))
    except BaseException:  # noqa: BLE001 (the test fails with it)
        end.send((None, traceback.format_exc()))
    else:
        leave()  # together; after an error the others do not come


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port

"""The Ray cluster that workers run on: one that is named, or one that is started here.

Ray itself is imported when workers are made.
"""

from __future__ import annotations

import importlib
import os
import socket
from typing import Any

from torch import nn

from srl_agents.parallel.team import Team
from srl_agents.runs.config import RolloutConfig
from srl_env.errors import BadOption, MissingExtra

STORE_BYTES = 512 * 2**20
"""Of a cluster that is started here, for episodes in transit; beyond that Ray writes to the disk.
"""


def check_address(settings: RolloutConfig, team: Team) -> None:
    """Raises BadOption if several processes train without a named cluster."""
    if team.size > 1 and settings.address is None:
        raise BadOption(
            "rollout.address: several training processes need one Ray cluster; start it with "
            "'ray start --head', and set the address to 'auto' or HOST:PORT"
        )


def store_bytes(model: nn.Module) -> int:
    """Room for the last trained weights, the next, and spare room, beside episodes."""
    size = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return STORE_BYTES + 3 * size


def import_ray() -> Any:
    """The package; raises MissingExtra."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        if error.name not in (None, "ray"):
            raise
        raise MissingExtra("ray", "ray") from None


def connect(ray: Any, settings: RolloutConfig, store_bytes: int) -> bool:
    """Joins the named cluster, or starts one; False if there is one already."""
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if settings.address is None:
        options |= {"address": "local", "num_cpus": settings.workers, "include_dashboard": False}
        options |= {"object_store_memory": store_bytes}
    else:
        options |= {"address": settings.address}
    try:
        _reach(settings.address or "")
        ray.init(**options)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise BadOption(
            f"rollout.address: no Ray cluster at {settings.address or 'this machine'}: "
            f"{first_line(error)}"
        ) from error
    return True


def _reach(address: str) -> None:
    """Raises OSError if nobody listens at HOST:PORT; Ray itself takes minutes to notice."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=20).close()


def check_size(ray: Any, settings: RolloutConfig) -> None:
    """Raises BadOption if the cluster is too small for the workers, busy or not."""
    there = ray.cluster_resources()
    for name, key, each in (("processors", "CPU", 1.0), ("GPUs", "GPU", settings.gpus)):
        if there.get(key, 0.0) < each * settings.workers:
            raise BadOption(
                f"rollout.workers: {settings.workers} workers of {each:g} {name} each do not fit "
                f"into a cluster of {there.get(key, 0.0):g}; set fewer, or add machines"
            )


def first_line(error: Exception) -> str:
    """Of its message, or its name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]

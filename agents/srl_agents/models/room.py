"""Whether a model fits into memory, estimated from its files before it is loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from srl_env.errors import BadOption

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
TRAINED = 4
"""Copies of weights that are all trained: weights, gradient, and AdamW's two means."""
_IN_FILE = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}  # others count 1


def check_room(folder: Path, dtype: str, copies: int, free_bytes: int, where: str) -> None:
    """Raises BadOption if a model folder needs more memory than is free.

    dtype: of the weights, or "auto" for that of the files. copies: how many numbers are kept for
    each weight. where: the memory, for the message. Weights that are not safetensors are not
    counted.
    """
    needed = copies * weight_bytes(folder, dtype)
    if needed <= free_bytes:
        return
    what = "weights, gradient and optimizer" if copies >= TRAINED else "weights"
    fix = "train adapters (model.lora), or " if copies >= TRAINED else ""
    raise BadOption(
        f"{folder} must fit into memory; got {needed / 2**30:.1f} GiB ({what} in {dtype}) for"
        f" {free_bytes / 2**30:.1f} GiB free {where}. Fix: {fix}give a smaller model or more memory"
    )


def weight_bytes(folder: Path, dtype: str) -> int:
    """Bytes of the weights in a folder's safetensors files, in that dtype."""
    return sum(
        math.prod(tensor["shape"]) * BYTES.get(dtype, _IN_FILE.get(tensor["dtype"], 1))
        for file in folder.glob("*.safetensors")
        for tensor in _tensors(file)
    )


def free_memory() -> int:
    """Bytes that this process can still take: of the machine, and of its control group."""
    limits = [_available(Path("/proc/meminfo")), _left_in_group(Path("/sys/fs/cgroup"))]
    return min((limit for limit in limits if limit is not None), default=2**62)


def _tensors(file: Path) -> Iterator[dict[str, Any]]:
    """The shape and dtype of each tensor, from the head of the file; none if it is damaged."""
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            head = json.loads(opened.read(size)) if size < 2**28 else {}
    except (OSError, ValueError):
        return
    yield from (tensor for name, tensor in head.items() if name != "__metadata__")


def _available(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith("MemAvailable:")]
    return int(found[0].split()[1]) * 1024 if found else None


def _left_in_group(folder: Path) -> int | None:
    try:
        most = (folder / "memory.max").read_text().strip()
        used = (folder / "memory.current").read_text().strip()
        cached = _cached(folder / "memory.stat")
    except OSError:
        return None
    return int(most) - int(used) + cached if most.isdigit() else None


def _cached(stat: Path) -> int:
    """Bytes of files in memory, which the system gives back when they are needed."""
    rows = (line.split() for line in stat.read_text().splitlines())
    return sum(int(value) for name, value in rows if name in ("inactive_file", "active_file"))

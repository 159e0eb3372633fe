"""Where a run comes from: the commit of this library, the weights it began with, the processor."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from srl_agents.runs.files import write_json

JOBS = "jobs.json"
"""The file in the folder of a run with the provenance of each process that worked on it."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Of one process. commit: "-dirty" at its end means changes that were not committed."""

    commit: str
    weights: str
    processor: str


def note(folder: Path, made_by: Provenance) -> None:
    """Adds the process to those that worked on the run in the folder."""
    write_json(folder / JOBS, [*_processes(folder), asdict(made_by)])


def noted(folder: Path) -> dict[str, Any]:
    """The fields of a ``RunOutcome`` on where it comes from; several commits are all named."""
    made = _processes(folder)
    values = {name: dict.fromkeys(each[name] for each in made) for name in made[0]}
    return {name: ", ".join(each) for name, each in values.items()} | {"jobs": len(made)}


def _processes(folder: Path) -> list[dict[str, str]]:
    file = folder / JOBS
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def commit() -> str:
    """The commit that this library's folder is at; its version where it is no work tree."""
    root = Path(__file__).parents[3]
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        found = subprocess.run([*command, "--exclude=*"], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.strip()
    return f"srl-env {version('srl-env')}"


def processor(device: str) -> str:
    """The name of what computes: a GPU's, or the processor's and the number of its cores."""
    if device == "auto" or device.startswith("cuda"):
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        name = next(named, name)
    return f"{name}, {os.cpu_count()} cores"

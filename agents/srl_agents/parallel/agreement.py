"""Whether all processes of a team were given the same.

Every process calls these, and all raise the same error.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import srl_env
from srl_agents.parallel.team import Team
from srl_env.errors import BadOption

_SHOWN = 3


def check_same(team: Team, what: str, mine: Mapping[str, Any], fix: str) -> None:
    """BadOption unless all processes have the same values; what: they are, in the plural."""
    if team.size == 1:
        return
    first, *others = team.all_gather([dict(mine)])
    for rank, other in enumerate(others, 1):
        names = [name for name in first | other if first.get(name) != other.get(name)]
        if names:
            shown = [f"{name} = {other.get(name)!r} and {first.get(name)!r}" for name in names]
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise BadOption(
                f"all processes must have the same {what}; got {', '.join(shown[:_SHOWN])}{more} in"
                f" rank {rank} and rank 0. Fix: {fix}"
            )


def flat(tree: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        below = value if isinstance(value, Mapping) else None
        found |= flat(below, f"{where}{name}.") if below else {f"{where}{name}": value}
    return found


def software() -> dict[str, str]:
    """What decides how a training computes: versions, and a digest of this library's source."""
    digest = hashlib.sha256()
    for package in (Path(srl_env.__file__).parent, Path(__file__).parents[1]):
        for file in sorted(package.rglob("*.py")):
            digest.update(file.read_bytes())
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return versions | {"srl-env source": digest.hexdigest()[:12]}


def weights_digest(model: torch.nn.Module) -> str:
    """A digest of a whole model's names, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        values = torch.hash_tensor(tensor.detach().cpu()).item() if tensor.numel() else 0
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} {values}\n".encode())
    return digest.hexdigest()[:12]
